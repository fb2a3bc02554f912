#include "check/check.h"
#include "ops/bit_cast/bit_cast.h"

namespace halo::check::bit_cast {

HALO_CHECK(bit_cast_copies_every_byte_and_leaves_shared_memory_alone) {
  for (const int64_t count : {0, 1, 256, 1001}) {
    std::vector<uint8_t> x(static_cast<size_t>(count));
    for (size_t i = 0; i < x.size(); ++i) x[i] = static_cast<uint8_t>(i);
    Guarded<uint8_t> y(count);
    bit_cast_cpu(x.data(), y.data(), count);
    expect(y.intact() && same(x.data(), y.data(), count), "copy of " + std::to_string(count));
    bit_cast_cpu(y.data(), y.data(), count);
    expect(y.intact() && same(x.data(), y.data(), count), "in place, " + std::to_string(count));
  }
}

}  // namespace halo::check::bit_cast
