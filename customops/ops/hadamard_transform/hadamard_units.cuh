// S_256 on the matrix units, in the registers of a warp, and what kernels around it share. [arXiv 2412.08832]
#pragma once

#include "provider/kernels/absolute_max.cuh"
#include "provider/kernels/matrix_units.cuh"

namespace halo::hadamard_units {

/// Numbers of a lane in a tile of 256: element 8 lane + e, whose bits are those of e, then lane % 4, then lane / 4.
inline constexpr int kTile = 256, kLaneElements = 8;

/// +1 or -1 twice in T, by the two lowest bits.
template <class T>
__device__ uint32_t signed_ones(uint32_t bits) {
  constexpr uint32_t kOnes = std::is_same_v<T, Float16> ? 0x3C003C00u : 0x3F803F80u;
  return kOnes ^ ((bits & 1u) << 15) ^ ((bits & 2u) << 30);
}

/// S_16 as the left operand of a product. Three registers of it are equal. A compiler that sees that keeps one, and copies it next to each other in front of
/// each product, a tenth of a rotation's instructions: shuffles hide it. All lanes come here.
template <class T>
__device__ void fill_signs(uint32_t (&signs)[4]) {
  const int lane = static_cast<int>(threadIdx.x) % cuda::kWarp, row = lane / 4, column = lane % 4 * 2;
  const auto bits = static_cast<uint32_t>((__popc(static_cast<uint32_t>(row & column)) & 1) | (__popc(static_cast<uint32_t>(row & (column + 1))) & 1) << 1);
  signs[0] = signed_ones<T>(bits);
  for (int i = 1; i < 3; ++i) signs[i] = __shfl_sync(cuda::kAllLanes, signs[i - 1], lane);
  signs[3] = signs[0] ^ 0x80008000u;  // rows and columns from 8 on
}

/// Two numbers as a sum of `parts` pairs of bfloat16, which have 8 bits each.
template <int parts>
__device__ void split(float low, float high, uint32_t (&pairs)[parts]) {
#pragma unroll
  for (int p = 0; p < parts; ++p) {
    pairs[p] = cuda::packed_pair<BFloat16>(low, high);
    if (p + 1 == parts) break;
    low -= std::bit_cast<float>(pairs[p] << 16);
    high -= std::bit_cast<float>(pairs[p] & 0xFFFF0000u);
  }
}

/// S_16 along the bits of elements 0, 1, lane % 4 and 2 of numbers of 16 bits as they were read, two to a word: exact but for the sums in float32.
template <class T>
__device__ void first_factor(const uint32_t (&words)[4], const uint32_t (&signs)[4], float (&sums)[2][4]) {
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    cuda::multiply<T>(sums[half], signs, words[2 * half], words[2 * half + 1]);
  }
}

/// The same of float32 numbers, each a sum of `parts` bfloat16.
template <int parts>
__device__ void first_factor(const float (&values)[kLaneElements], const uint32_t (&signs)[4], float (&sums)[2][4]) {
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    uint32_t upper[parts], lower[parts];
    split<parts>(values[4 * half], values[4 * half + 1], upper);
    split<parts>(values[4 * half + 2], values[4 * half + 3], lower);
    cuda::multiply<BFloat16>(sums[half], signs, upper[0], lower[0]);
#pragma unroll
    for (int p = 1; p < parts; ++p) cuda::multiply_add<BFloat16>(sums[half], signs, upper[p], lower[p]);
  }
}

/// S_16 along the other four bits. The sums of the first factor are, packed, the right operand of the product with their transpose, so that nothing is
/// exchanged; results lie as the elements did before the first factor.
template <int parts>
__device__ void second_factor(const float (&sums)[2][4], const uint32_t (&signs)[4], float (&values)[kLaneElements]) {
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    uint32_t upper[parts], lower[parts];
    split<parts>(sums[0][2 * half], sums[0][2 * half + 1], upper);
    split<parts>(sums[1][2 * half], sums[1][2 * half + 1], lower);
    float results[4];
    cuda::multiply<BFloat16>(results, signs, upper[0], lower[0]);
#pragma unroll
    for (int p = 1; p < parts; ++p) cuda::multiply_add<BFloat16>(results, signs, upper[p], lower[p]);
#pragma unroll
    for (int i = 0; i < 4; ++i) values[i % 2 + 2 * half + i / 2 * 4] = results[i];
  }
}

/// S along the 16 columns of two tiles of sums, which are the left operand of a product as they lie; results lie as the sums did.
template <int parts>
__device__ void column_factor(float (&sums)[2][4], const uint32_t (&signs)[4]) {
  uint32_t pairs[4][parts];  // rows lane / 4 and 8 on of the first tile, then of the second
#pragma unroll
  for (int i = 0; i < 4; ++i) split<parts>(sums[i / 2][i % 2 * 2], sums[i / 2][i % 2 * 2 + 1], pairs[i]);
#pragma unroll
  for (int tile = 0; tile < 2; ++tile) {
#pragma unroll
    for (int p = 0; p < parts; ++p) {
      const uint32_t a[4] = {pairs[0][p], pairs[1][p], pairs[2][p], pairs[3][p]};
      if (p == 0) {
        cuda::multiply<BFloat16>(sums[tile], a, signs[0], signs[tile == 0 ? 0 : 3]);
      } else {
        cuda::multiply_add<BFloat16>(sums[tile], a, signs[0], signs[tile == 0 ? 0 : 3]);
      }
    }
  }
}

/// S_2 between tiles that a warp has in registers, `distance` apart.
template <int tiles>
__device__ void across_tiles(float (&sums)[tiles][2][4], int distance) {
#pragma unroll
  for (int t = 0; t < tiles; ++t) {
    if ((t & distance) != 0) continue;
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      const float a = sums[t][i / 4][i % 4], b = sums[t + distance][i / 4][i % 4];
      sums[t][i / 4][i % 4] = a + b;
      sums[t + distance][i / 4][i % 4] = a - b;
    }
  }
}

/// S along the tiles that a warp has in registers, 2^levels of them side by side.
template <int levels, int tiles>
__device__ void across_tiles(float (&sums)[tiles][2][4]) {
#pragma unroll
  for (int level = 0; level < levels; ++level) across_tiles(sums, 1 << level);
}

/// Two words of which an even lane gives the second to the lane behind it for that one's first: an even lane has the first words of both then, an odd one the
/// second words. Where the words are neighbouring columns of two tiles, a quad stores whole sectors of memory, 8 bytes a lane.
__device__ inline cuda::Pack<uint32_t, 2> words_of_neighbours(uint32_t first, uint32_t second) {
  const bool is_odd = threadIdx.x % 2 != 0;
  const uint32_t theirs = __shfl_xor_sync(cuda::kAllLanes, is_odd ? first : second, 1);
  return {{is_odd ? theirs : first, is_odd ? second : theirs}};
}

/// Results of a lane, rounded and stored: 8 neighbours. `largest` sees them as they are stored.
template <class T, bool has_max>
__device__ void store_eight(T* to, const float (&values)[kLaneElements], float scale, cuda::LargestOfWords<T, has_max>& largest) {
  constexpr int kPack = 16 / static_cast<int>(sizeof(T));
#pragma unroll
  for (int first = 0; first < kLaneElements; first += kPack) {
    cuda::Pack<uint32_t, 4> words;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      if constexpr (sizeof(T) == 2) {
        words.values[i] = cuda::packed_pair<T>(values[first + 2 * i] * scale, values[first + 2 * i + 1] * scale);
      } else {
        words.values[i] = std::bit_cast<uint32_t>(values[first + i] * scale);
      }
      largest.take(words.values[i]);
    }
    *reinterpret_cast<cuda::Pack<uint32_t, 4>*>(to + first) = words;
  }
}

/// How many bfloat16 have what T has of a float32 that is rounded to it at last.
template <class T>
inline constexpr int kParts = std::is_same_v<T, float> ? 3 : 2;

}  // namespace halo::hadamard_units
