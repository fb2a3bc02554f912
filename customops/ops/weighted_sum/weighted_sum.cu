#include "ops/weighted_sum/weighted_sum.h"

#include "provider/kernels/words.cuh"

namespace halo {

namespace {

constexpr int kThreads = 256, kWidth = 8;

/// A thread has eight neighbours. 10 bytes an element with 16 bits, else 12; bound by memory.
template <class T>
__global__ void __launch_bounds__(kThreads)
    weighted_sum_kernel(const float* sum, const T* x, const float* keep, const float* weight, float* y, int64_t count, bool is_packed) {
  const int64_t at = (static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x) * kWidth;
  if (at >= count) return;
  const int length = count - at < kWidth ? static_cast<int>(count - at) : kWidth;
  const bool is_whole = is_packed && length == kWidth;
  cuda::Words<float, kWidth> sums;
  cuda::Words<T, kWidth> added;
  sums.load(sum + at, is_whole, length);
  added.load(x + at, is_whole, length);
  const float kept = *keep, by = *weight;
#pragma unroll
  for (int i = 0; i < kWidth; ++i) sums.set(i, weighted_sum_of(sums.number(i), added.number(i), kept, by));
  sums.store(y + at, is_whole, length);
}

}  // namespace

Status weighted_sum_cuda(DType type, const float* sum, const void* x, const float* keep, const float* weight, float* y, int64_t count, cudaStream_t stream) {
  if (count == 0) return {};
  const bool is_packed = cuda::is_aligned(sum, 16) && cuda::is_aligned(x, 16) && cuda::is_aligned(y, 16);
  return cuda::dispatch_float(type, [&]<class T>() -> Status {
    return cuda::launch(weighted_sum_kernel<T>, cuda::grid_for(count, kThreads * kWidth), kThreads, 0, stream, sum, static_cast<const T*>(x), keep, weight, y,
                        count, is_packed);
  });
}

}  // namespace halo
