#include "ops/swi_glu/swi_glu.h"

#include "provider/kernels/absolute_max.cuh"
#include "provider/kernels/words.cuh"

namespace halo {

namespace {

constexpr int kThreads = 256;

/// Packs of a thread, all of which are loaded before the first is computed.
constexpr int kPacks = 4;

/// A thread has kPacks packs of 16 bytes, a block apart. Reads each operand and writes y once; bound by memory.
template <bool has_max, class T>
__global__ void __launch_bounds__(kThreads) swi_glu_kernel(const T* gate, const T* up, T* y, float* absmax, int64_t count, bool is_aligned) {
  constexpr int kWidth = cuda::kRowWidth<T>;
  __shared__ uint32_t scratch[cuda::kWarp];
  const int64_t first = (static_cast<int64_t>(blockIdx.x) * kPacks * kThreads + threadIdx.x) * kWidth;
  cuda::Words<T> gates[kPacks], ups[kPacks];
  int lengths[kPacks];
#pragma unroll
  for (int p = 0; p < kPacks; ++p) {
    const int64_t at = first + p * kThreads * kWidth;
    lengths[p] = count - at < kWidth ? static_cast<int>(count - at) : kWidth;  // elements of the pack, none where it lies behind the end
    if (lengths[p] <= 0) continue;
    gates[p].load(gate + at, is_aligned && lengths[p] == kWidth, lengths[p]);
    ups[p].load(up + at, is_aligned && lengths[p] == kWidth, lengths[p]);
  }
  uint32_t largest = 0;
#pragma unroll
  for (int p = 0; p < kPacks; ++p) {
    if (lengths[p] <= 0) continue;
    cuda::Words<T> results;
#pragma unroll
    for (int i = 0; i < kWidth; ++i) {
      const float g = gates[p].number(i);
      const T result = from_float<T>(g / (1.0f + expf(-g)) * ups[p].number(i));  // 0 behind the end
      if (has_max) largest = cuda::LargerOf()(largest, cuda::magnitude_of(result));
      results.set(i, result);
    }
    results.store(y + first + p * kThreads * kWidth, is_aligned && lengths[p] == kWidth, lengths[p]);
  }
  if (has_max) cuda::raise_absolute_max(largest, absmax, scratch);
}

}  // namespace

Status swi_glu_cuda(DType type, const void* gate, const void* up, void* y, float* absmax, int64_t count, cudaStream_t stream) {
  const bool is_aligned = cuda::is_aligned(gate, 16) && cuda::is_aligned(up, 16) && cuda::is_aligned(y, 16);
  HALO_RETURN_IF_ERROR(cuda::clear_absolute_max(absmax, stream));
  return cuda::dispatch_float(type, [&]<class T>() {
    const auto kernel = absmax != nullptr ? swi_glu_kernel<true, T> : swi_glu_kernel<false, T>;
    return cuda::launch(kernel, cuda::grid_for(count, kThreads * kPacks * cuda::kRowWidth<T>), kThreads, 0, stream, static_cast<const T*>(gate),
                        static_cast<const T*>(up), static_cast<T*>(y), absmax, count, is_aligned);
  });
}

}  // namespace halo
