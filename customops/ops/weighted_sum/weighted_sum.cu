#include "ops/weighted_sum/weighted_sum.h"

#include "provider/kernels/words.cuh"

namespace halo {

namespace {

constexpr int kThreads = 256, kWidth = 8;

/// A thread has eight neighbours, which share a block of random words where the sum is bfloat16. Bytes an element with a float sum: 12, of 16 bits 10; with one
/// of bfloat16 8 and 6; less the sum where it is not kept. Bound by memory.
template <class S, class T>
__global__ void __launch_bounds__(kThreads) weighted_sum_kernel(const S* sum, const T* x, WeightedSumScalars scalars, S* y, int64_t count, bool is_packed) {
  const int64_t pack = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x, at = pack * kWidth;
  if (at >= count) return;
  const int length = count - at < kWidth ? static_cast<int>(count - at) : kWidth;
  const bool is_whole = is_packed && length == kWidth;
  const WeightedSumRule rule(scalars);
  cuda::Words<S, kWidth> sums;  // zeros
  cuda::Words<T, kWidth> added;
  if (rule.reads()) sums.load(sum + at, is_whole, length);
  added.load(x + at, is_whole, length);
  if constexpr (std::is_same_v<S, float>) {
#pragma unroll
    for (int i = 0; i < kWidth; ++i) sums.set(i, rule(sums.number(i), added.number(i)));
  } else {
    const PhiloxBlock block = weighted_sum_stream(scalars).block(static_cast<uint64_t>(pack));
#pragma unroll
    for (int i = 0; i < kWidth; i += 2) {
      const uint32_t low = cuda::rounded_above(rule(sums.number(i), added.number(i)), half_of(block, i));
      const uint32_t high = cuda::rounded_above(rule(sums.number(i + 1), added.number(i + 1)), half_of(block, i + 1));
      sums.words[i / 2] = cuda::upper_halves(low, high);
    }
  }
  sums.store(y + at, is_whole, length);
}

}  // namespace

template <class S>
Status weighted_sum_cuda(DType type, const S* sum, const void* x, const WeightedSumScalars& scalars, S* y, int64_t count, cudaStream_t stream) {
  if (count == 0) return {};
  const bool is_packed = cuda::is_aligned(sum, 16) && cuda::is_aligned(x, 16) && cuda::is_aligned(y, 16);
  return cuda::dispatch_float(type, [&]<class T>() -> Status {
    return cuda::launch(weighted_sum_kernel<S, T>, cuda::grid_for(count, kThreads * kWidth), kThreads, 0, stream, sum, static_cast<const T*>(x), scalars, y,
                        count, is_packed);
  });
}

template Status weighted_sum_cuda(DType, const float*, const void*, const WeightedSumScalars&, float*, int64_t, cudaStream_t);
template Status weighted_sum_cuda(DType, const BFloat16*, const void*, const WeightedSumScalars&, BFloat16*, int64_t, cudaStream_t);

}  // namespace halo
