// What is known of tensors and parameters before a kernel runs.
#include "common/shape.h"

#include "check/check.h"
#include "plugin/schema.h"

namespace halo::check {

HALO_CHECK(shapes_keep_their_sizes_at_any_rank) {
  std::vector<int64_t> sizes;
  for (int rank = 0; rank <= 12; ++rank) {
    const Shape shape{std::span<const int64_t>(sizes)}, copy = shape;
    expect(copy.rank() == rank && copy.may_equal(shape) && std::equal(sizes.begin(), sizes.end(), copy.sizes().begin(), copy.sizes().end()), "rank");
    expect(rank == 0 || copy[-1] == rank + 1, "last size");
    sizes.push_back(rank + 2);
  }
}

HALO_CHECK(parameters_are_counted_as_they_are_read) {
  for (const char* side : {"X: T", "X: T, after...: A", "Q: T, K: T, V: T, mask?: I, documentIds?: I"}) {
    expect(parameters_count(side) == parameters(side, "T: float; A: float; I: int64").size(), side);
  }
}

}  // namespace halo::check
