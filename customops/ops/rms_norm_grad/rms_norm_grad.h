// The gradient of root-mean-square normalization.
#pragma once

#include <cstdint>

#include "common/executor.h"

#ifdef HALO_CUDA
#include "provider/kernels/tensor.h"
#endif

namespace halo {

/// dY, X, dX: (rows, columns), weight, dWeight: (columns), inv_rms: (rows), row-major, dX may be dY, X or the addend. With g = dY * weight and n = X * inv_rms:
/// dX = inv_rms * (g - n * mean(g * n)) + addend (rows, columns; null is 0), the mean over a row in float64; dWeight = sum over rows of dY * n.
/// dWeight is summed in float32 over pieces of rows, then over the pieces in float64; both orders hang on the sizes alone.
/// Reads dY and X twice, the second time from cache, and writes dX once; bound by memory.
/// `partial` has room for rms_norm_grad_partials(rows, columns) floats.
template <class T>
void rms_norm_grad_cpu(const T* dy, const T* x, const T* weight, const float* inv_rms, const T* addend, T* dx, T* dweight, int64_t rows, int64_t columns,
                       float* partial, const Executor& executor);

int64_t rms_norm_grad_partials(int64_t rows, int64_t columns);

#ifdef HALO_CUDA
/// Bytes of workspace for rms_norm_grad_cuda: float32 sums of dY * n over pieces of rows, whose number hangs on the sizes alone.
int64_t rms_norm_grad_workspace_cuda(int64_t rows, int64_t columns);

/// As rms_norm_grad_cpu, with sums in float32. dX may be dY, X or the addend. `absmax`, unless null, gets max |dX|, NaN where an element is one. Rows that
/// registers hold (8192 floats, twice as many of 16 bits) are read once. Refuses more columns than a block's shared memory has floats for: 58080 on Hopper.
Status rms_norm_grad_cuda(DType type, const void* dy, const void* x, const void* weight, const float* inv_rms, const void* addend, void* dx, void* dweight,
                          float* absmax, int64_t rows, int64_t columns, void* workspace, cudaStream_t stream);
#endif

}  // namespace halo
