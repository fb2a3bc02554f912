// Root-mean-square normalization of rows. [Zhang and Sennrich 2019]
#pragma once

#include <cstdint>

#include "common/executor.h"

#ifdef HALO_CUDA
#include "provider/kernels/tensor.h"
#endif

namespace halo {

/// X, Y: (rows, columns), weight: (columns), inv_rms: (rows), row-major, Y may be X.
/// inv_rms = 1 / sqrt(mean(x^2) + epsilon), the mean in float64; y = x * inv_rms * weight in float32.
/// Reads X twice, the second time from cache, and writes Y once; bound by memory.
template <class T>
void rms_norm_cpu(const T* x, const T* weight, T* y, float* inv_rms, int64_t rows, int64_t columns, float epsilon, const Executor& executor);

#ifdef HALO_CUDA
/// As rms_norm_cpu for float, bfloat16 and float16, with the mean in float32, whose squares overflow above 1.8e19; inv_rms may be null. A block has whole
/// rows and keeps them in registers where they fit: X read once, Y written once. At most 2^31 - 1 rows. `absmax`, unless null, gets max |y|, NaN where an
/// element is one.
Status rms_norm_cuda(DType type, const void* x, const void* weight, void* y, float* inv_rms, float* absmax, int64_t rows, int64_t columns, float epsilon,
                     cudaStream_t stream);
#endif

}  // namespace halo
