// Neighbours as words, 16 bytes or more: numbers of 16 bits stay two to a register until they are wanted.
#pragma once

#include "provider/kernels/rows.cuh"
#include "provider/kernels/streaming.cuh"

namespace halo::cuda {

template <class T, int width = kRowWidth<T>>
struct Words {
  static constexpr int kWidth = width, kWords = width * static_cast<int>(sizeof(T)) / 4;
  uint32_t words[kWords] = {};

  /// The first `length` of kWidth neighbours, 0 or less for none; the others are left as they are. `is_whole`: all, and 16-byte aligned. `is_streaming`: not
  /// wanted again soon, and written by no thread of this kernel.
  template <bool is_streaming = false>
  __device__ void load(const T* from, bool is_whole, int length) {
    if (is_whole) {
#pragma unroll
      for (int first = 0; first < kWords; first += 4) {
        const auto* at = reinterpret_cast<const Pack<uint32_t, 4>*>(from) + first / 4;
        const auto pack = is_streaming ? load_streaming(at) : *at;
#pragma unroll
        for (int i = 0; i < 4; ++i) words[first + i] = pack.values[i];
      }
    } else {
#pragma unroll
      for (int i = 0; i < kWidth; ++i) {
        if (i < length) set(i, from[i]);
      }
    }
  }

  __device__ void store(T* to, bool is_whole, int length) const {
    if (is_whole) {
#pragma unroll
      for (int first = 0; first < kWords; first += 4) {
        Pack<uint32_t, 4> pack;
#pragma unroll
        for (int i = 0; i < 4; ++i) pack.values[i] = words[first + i];
        reinterpret_cast<Pack<uint32_t, 4>*>(to)[first / 4] = pack;
      }
    } else {
#pragma unroll
      for (int i = 0; i < kWidth; ++i) {
        if (i < length) to[i] = get(i);
      }
    }
  }

  __device__ T get(int i) const {
    if constexpr (sizeof(T) == 4) {
      return std::bit_cast<T>(words[i]);
    } else {
      return {static_cast<uint16_t>(words[i / 2] >> (i % 2 * 16))};
    }
  }

  __device__ void set(int i, T x) {
    if constexpr (sizeof(T) == 4) {
      words[i] = std::bit_cast<uint32_t>(x);
    } else {
      words[i / 2] = (words[i / 2] & (0xFFFF0000u >> (i % 2 * 16))) | static_cast<uint32_t>(x.bits) << (i % 2 * 16);
    }
  }

  __device__ float number(int i) const { return to_float(get(i)); }
};

/// round_by_chance(x, bits), in the upper half of a word.
inline __device__ uint32_t rounded_above(float x, uint32_t bits) { return x != x ? 0x7FC00000u : std::bit_cast<uint32_t>(x) + bits; }

/// The upper halves of two words as one.
inline __device__ uint32_t upper_halves(uint32_t low, uint32_t high) { return __byte_perm(low, high, 0x7632); }

}  // namespace halo::cuda
