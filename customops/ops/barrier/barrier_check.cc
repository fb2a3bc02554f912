#include "check/check.h"
#include "ops/barrier/barrier.h"

namespace halo::check::barrier {

HALO_CHECK(barrier_copies_every_byte_and_leaves_shared_memory_alone) {
  for (const int64_t count : {0, 1, 7, 1001}) {
    const auto x = normal(count, 1);
    Guarded<float> y(count);
    barrier_cpu(x.data(), y.data(), count * 4);
    expect(y.intact() && same(x.data(), y.data(), count), "copy of " + std::to_string(count));
    barrier_cpu(y.data(), y.data(), count * 4);
    expect(y.intact() && same(x.data(), y.data(), count), "in place, " + std::to_string(count));
  }
}

}  // namespace halo::check::barrier
