// Tensors that move to memory of the host and back.
#pragma once

#include <cstdint>

namespace halo {

/// Copies `bytes` bytes of x to y, unless y is x, as it is where the runtime lets them share their memory.
void host_copy_cpu(const void* x, void* y, int64_t bytes);

}  // namespace halo
