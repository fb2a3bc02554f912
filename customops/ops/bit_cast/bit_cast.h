// 8-bit floats as bytes, and bytes as 8-bit floats: the same bits.
#pragma once

#include <cstdint>

namespace halo {

/// Copies `bytes` bytes of x to y, unless y is x, as it is where the runtime lets them share their memory.
void bit_cast_cpu(const void* x, void* y, int64_t bytes);

}  // namespace halo
