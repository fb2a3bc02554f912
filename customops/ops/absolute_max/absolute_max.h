// The largest magnitude of a tensor.
#pragma once

#include <cstdint>

#include "common/absolute_max.h"
#include "common/status.h"

#ifdef HALO_CUDA
#include "provider/kernels/tensor.h"
#endif

namespace halo {

#ifdef HALO_CUDA
/// y () = max |x|, or NaN where an element is one, as absolute_max_cpu. Reads x once. Types: float, bfloat16, float16.
Status absolute_max_cuda(DType type, const void* x, float* y, int64_t count, cudaStream_t stream);
#endif

}  // namespace halo
