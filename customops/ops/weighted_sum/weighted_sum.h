// A running sum of weighted tensors.
#pragma once

#include <cstdint>

#include "common/dtype.h"
#include "common/executor.h"
#include "common/rounding.h"
#include "common/status.h"

#ifdef HALO_CUDA
#include "provider/kernels/tensor.h"
#endif

namespace halo {

/// Scalars of one addition.
struct WeightedSumScalars {
  const float *keep, *weight;
  ChanceSource chance = {};  // its step numbers additions and not updates
};

/// One element: nothing is contracted to a fused multiply-add, on no processor. A sum that is not kept is not read: it is 0 then.
struct WeightedSumRule {
  float keep, weight;

  explicit HALO_HD WeightedSumRule(const WeightedSumScalars& scalars) : keep(*scalars.keep), weight(*scalars.weight) {}

  HALO_HD bool reads() const { return keep != 0.0f; }

  HALO_HD float operator()(float sum, float x) const {
#ifdef __CUDA_ARCH__
    return __fadd_rn(__fmul_rn(sum, keep), __fmul_rn(x, weight));
#else
    return sum * keep + x * weight;
#endif
  }
};

/// The bits that sums of bfloat16 are rounded by: eight elements share a block, in order. Streams from 2^31 on are the optimizer's, those from 2^31 + 2^29 on
/// are sums'.
inline HALO_HD PhiloxStream weighted_sum_stream(const WeightedSumScalars& scalars) { return scalars.chance.stream(0xA0000000u); }

/// y = sum * keep + x * weight, each operation rounded to float by itself, the result to S by chance. Reads sum and x once, each element before it writes y
/// there: y may be sum. Bound by memory. S: float, bfloat16.
template <class S, class T>
void weighted_sum_cpu(const S* sum, const T* x, const WeightedSumScalars& scalars, S* y, int64_t count, const Executor& executor);

#ifdef HALO_CUDA
/// The same bits, with the scalars on the device. Types of x: float, bfloat16, float16.
template <class S>
Status weighted_sum_cuda(DType type, const S* sum, const void* x, const WeightedSumScalars& scalars, S* y, int64_t count, cudaStream_t stream);
#endif

}  // namespace halo
