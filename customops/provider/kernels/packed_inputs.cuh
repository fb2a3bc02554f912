// A of a product with packed weights in shared memory: two float16 an element, in the order in which matrix units meet the codes.
#pragma once

#include "provider/kernels/matrix_units.cuh"
#include "provider/kernels/packed_product.h"
#include "provider/kernels/words.cuh"

namespace halo::cuda {

/// Lanes of a quad, a unit each: what a warp takes of a row of W at a time.
inline constexpr int kQuad = 4;

/// How codes of `bits` lie in a unit. A pair is what one mask takes of a word: two codes 16 bits apart, as matrix units want two neighbours.
template <int bits>
struct CodeUnit {
  static constexpr int kCodes = kUnitBytes * 8 / bits, kWordCodes = 32 / bits, kWordPairs = kWordCodes / 2;
  static constexpr int kProducts = kCodes / 4, kQuarters = kCodes / 8;  // two pairs of a row are a product, two products 16 bytes of A
};

/// What the elements of a unit were divided by, and their sum.
using UnitFacts = Pack<float, 2>;

/// Rows of A: an element x of a unit is scale (high + low), scale a power of two that makes the unit's largest fill float16's range: 22 bits of each element,
/// 40 bits below the largest. The quarters of four neighbouring units lie side by side, high before low, so that the lanes that read them meet all banks.
template <int bits>
struct PackedInputs {
  unsigned char* pieces;  // (rows, steps, quarters, kQuad, 2, 16 bytes)
  UnitFacts* facts;       // (rows, steps kQuad)
  int steps;              // of a row, kQuad units each

  static HALO_HD int64_t row_bytes(int64_t steps) { return steps * kQuad * CodeUnit<bits>::kCodes * 4; }
  static HALO_HD int64_t bytes(int64_t rows, int64_t steps) { return rows * (row_bytes(steps) + steps * kQuad * static_cast<int64_t>(sizeof(UnitFacts))); }

  __device__ PackedInputs(unsigned char* memory, int rows, int steps_of_row)
      : pieces(memory), facts(reinterpret_cast<UnitFacts*>(memory + rows * row_bytes(steps_of_row))), steps(steps_of_row) {}

  /// Where 8 elements of a unit lie, the high parts, or the low ones.
  __device__ Pack<uint32_t, 4>* at(int row, int unit, int quarter, int part) const {
    const int place = ((unit / kQuad * CodeUnit<bits>::kQuarters + quarter) * kQuad + unit % kQuad) * 2 + part;
    return reinterpret_cast<Pack<uint32_t, 4>*>(pieces + row * row_bytes(steps)) + place;
  }
  __device__ UnitFacts* facts_of(int row, int unit) const { return facts + row * steps * kQuad + unit; }
};

/// 2^14 / the power of two below a magnitude, given by its bits, as bits; 1 for what is not finite. Both it and its inverse are normal.
__device__ inline uint32_t scale_bits_of(uint32_t magnitude) {
  const uint32_t exponent = magnitude >> 23;
  if (exponent == 255) return 127u << 23;
  return (268 - (exponent < 15 ? 15 : exponent)) << 23;
}

/// Fills the inputs; all threads of the block call it, and no other barrier is needed before one of theirs. A thread has 16 elements, a unit one to four
/// threads next to one another. What lies behind K is 0.
template <int bits, class T>
__device__ void place_inputs(const PackedInputs<bits>& inputs, const T* a, int rows, int64_t k_count, bool is_aligned, bool has_sums) {
  using Unit = CodeUnit<bits>;
  constexpr int kWidth = 16, kThreadsOfUnit = Unit::kCodes / kWidth;
  const int lane = static_cast<int>(threadIdx.x) % kWarp, pieces = inputs.steps * kQuad * kThreadsOfUnit;
  for (int row = 0; row < rows; ++row) {
    for (int first = static_cast<int>(threadIdx.x) - lane; first < pieces; first += static_cast<int>(blockDim.x)) {
      const int piece = first + lane, unit = piece / kThreadsOfUnit;
      const int64_t k = static_cast<int64_t>(piece) * kWidth;
      Words<T, kWidth> x;
      if (k < k_count) x.load(a + row * k_count + k, is_aligned && k_count - k >= kWidth, k_count - k < kWidth ? static_cast<int>(k_count - k) : kWidth);
      uint32_t largest = 0;
      float sum = 0;
#pragma unroll
      for (int i = 0; i < kWidth; ++i) {
        const uint32_t magnitude = std::bit_cast<uint32_t>(x.number(i)) & 0x7FFFFFFFu;
        largest = magnitude > largest ? magnitude : largest;
        if (has_sums) sum += x.number(i);
      }
      for (int mask = kThreadsOfUnit / 2; mask > 0; mask /= 2) {
        const uint32_t other = __shfl_xor_sync(kAllLanes, largest, mask);
        largest = other > largest ? other : largest;
        sum += __shfl_xor_sync(kAllLanes, sum, mask);
      }
      if (piece >= pieces) continue;
      const uint32_t scale_bits = scale_bits_of(largest);
      const float scale = std::bit_cast<float>(scale_bits);
      if (piece % kThreadsOfUnit == 0) *inputs.facts_of(row, unit) = {{std::bit_cast<float>((254u << 23) - scale_bits), sum}};
#pragma unroll
      for (int quarter = 0; quarter < 2; ++quarter) {
        Pack<uint32_t, 4> high, low;
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          const int pair = quarter * 4 + i, from = pair / Unit::kWordPairs * Unit::kWordCodes + pair % Unit::kWordPairs;
          const float first_x = x.number(from) * scale, second_x = x.number(from + Unit::kWordPairs) * scale;
          high.values[i] = packed_pair<Float16>(first_x, second_x);
          const auto rest = [&](float all, uint32_t part) { return all - to_float(Float16{static_cast<uint16_t>(part)}); };
          low.values[i] = packed_pair<Float16>(rest(first_x, high.values[i]), rest(second_x, high.values[i] >> 16));
        }
        const int quarter_of_unit = piece % kThreadsOfUnit * 2 + quarter;
        *inputs.at(row, unit, quarter_of_unit, 0) = high;
        *inputs.at(row, unit, quarter_of_unit, 1) = low;
      }
    }
  }
}

}  // namespace halo::cuda
