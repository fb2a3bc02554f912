// A running sum of weighted tensors.
#pragma once

#include <cstdint>

#include "common/dtype.h"
#include "common/executor.h"
#include "common/status.h"

#ifdef HALO_CUDA
#include "provider/kernels/tensor.h"
#endif

namespace halo {

/// One element: nothing is contracted to a fused multiply-add, on no processor.
inline HALO_HD float weighted_sum_of(float sum, float x, float keep, float weight) {
#ifdef __CUDA_ARCH__
  return __fadd_rn(__fmul_rn(sum, keep), __fmul_rn(x, weight));
#else
  return sum * keep + x * weight;
#endif
}

/// y = sum * keep + x * weight, each operation rounded by itself. Reads sum and x once, each element before it writes y there: y may be sum. Bound by memory.
template <class T>
void weighted_sum_cpu(const float* sum, const T* x, const float* keep, const float* weight, float* y, int64_t count, const Executor& executor);

#ifdef HALO_CUDA
/// The same bits, with the scalars on the device. Types of x: float, bfloat16, float16.
Status weighted_sum_cuda(DType type, const float* sum, const void* x, const float* keep, const float* weight, float* y, int64_t count, cudaStream_t stream);
#endif

}  // namespace halo
