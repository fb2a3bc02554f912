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

/// The larger of both upper and of both lower halves: one instruction from Hopper on. [PTX ISA, max.u16x2]
__device__ inline uint32_t larger_halves(uint32_t a, uint32_t b) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  uint32_t larger;
  asm("max.u16x2 %0, %1, %2;" : "=r"(larger) : "r"(a), "r"(b));
  return larger;
#else
  return LargerOf()(a & 0xFFFF0000u, b & 0xFFFF0000u) | LargerOf()(a & 0xFFFFu, b & 0xFFFFu);
#endif
}

/// The largest magnitude among the words that a thread stores: float32 numbers, or pairs of 16 bits, whose halves are compared apart and as they are.
/// Nothing where it is not wanted, so that a kernel without a maximum has no instruction and no register for it.
template <class T, bool is_wanted>
class LargestOfWords {
 public:
  __device__ void take([[maybe_unused]] uint32_t word) {
    if constexpr (is_wanted && sizeof(T) == 2) {
      largest_ = larger_halves(largest_, word & 0x7FFF7FFFu);
    } else if constexpr (is_wanted) {
      largest_ = LargerOf()(largest_, word & detail::kMagnitude);
    }
  }

  /// Its bits as a float32.
  __device__ uint32_t magnitude() const {
    if constexpr (sizeof(T) == 4) {
      return largest_;
    } else {
      return magnitude_of(T{static_cast<uint16_t>(LargerOf()(largest_ >> 16, largest_ & 0xFFFFu))});
    }
  }

 private:
  uint32_t largest_ = 0;
};

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
