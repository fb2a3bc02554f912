// The sum of the squares of a tensor, in float32.
#pragma once

#include <cstdint>

#include "common/dtype.h"
#include "common/executor.h"
#include "common/status.h"

#ifdef HALO_CUDA
#include "provider/kernels/tensor.h"
#endif

namespace halo {

/// y () = the sum of x^2, added in float64 in pieces of kGrain, then piece by piece. Reads x once.
template <class T>
void square_sum_cpu(const T* x, float* y, int64_t count, const Executor& executor);

#ifdef HALO_CUDA
/// Bytes of workspace for square_sum_cuda.
int64_t square_sum_workspace_cuda(int64_t count);

/// The same in float32, in up to 1056 pieces and then over these. Types: float, bfloat16, float16.
Status square_sum_cuda(DType type, const void* x, float* y, int64_t count, void* workspace, int64_t workspace_bytes, cudaStream_t stream);
#endif

}  // namespace halo
