// max |x| beside what a kernel computes, for a Quantize that then reads its tensor once. Maxima are the same in any order: atomics keep the bits.
#pragma once

#include "common/codes.h"
#include "provider/kernels/device.cuh"

namespace halo::cuda {

struct LargerOf {
  __device__ uint32_t operator()(uint32_t a, uint32_t b) const { return a > b ? a : b; }
};

/// The bits of |x|, whose order is that of magnitudes, NaN above Inf.
template <class T>
__device__ uint32_t magnitude_of(T x) {
  return std::bit_cast<uint32_t>(to_float(x)) & detail::kMagnitude;
}

/// Makes *largest at least the block's largest magnitude. All threads of a block come here; most blocks find theirs surpassed, and add no atomic.
__device__ inline void raise_absolute_max(uint32_t magnitude, float* largest, uint32_t* scratch) {
  magnitude = over_block(LargerOf(), magnitude, 0u, scratch);
  auto* bits = reinterpret_cast<uint32_t*>(largest);
  if (threadIdx.x == 0 && threadIdx.y == 0 && magnitude > *static_cast<volatile uint32_t*>(bits)) atomicMax(bits, magnitude);
}

/// 0, the maximum of nothing, in front of the kernel that raises it.
inline Status clear_absolute_max(float* largest, cudaStream_t stream) {
  return largest == nullptr ? Status() : HALO_CUDA_STATUS(cudaMemsetAsync(largest, 0, sizeof(float), stream));
}

}  // namespace halo::cuda
