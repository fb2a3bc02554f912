// Vectors in shared memory, and their products with the factors of a Hadamard matrix: A_K on the matrix units, S by levels.
#pragma once

#include "provider/kernels/matrix_units.cuh"

namespace halo::hadamard_tile {

/// Levels of the Walsh-Hadamard transform that a thread does in registers at most: 32 elements.
constexpr int kMostLevels = 5;

/// An element more in each 32: accesses 8 or more apart fall into different banks.
__host__ __device__ inline int64_t padded(int64_t i) { return i + (i >> 5); }

__device__ inline int padded(int i) { return i + (i >> 5); }

template <int levels>
__device__ void butterflies(float (&x)[1 << levels]) {
#pragma unroll
  for (int half = 1; half < (1 << levels); half *= 2) {
#pragma unroll
    for (int i = 0; i < (1 << levels); ++i) {
      if ((i & half) != 0) continue;
      const float a = x[i], b = x[i + half];
      x[i] = a + b;
      x[i + half] = a - b;
    }
  }
}

/// `levels` levels at distance `step` = 2^step_log2 and on. A thread reads and writes 2^levels elements a time. Their distances are the same for all groups:
/// a base is a multiple of 2^(levels + step_log2) and less than a step, so that padding adds to both apart.
template <int levels>
__device__ void transform_group(float* tile, int elements, int step_log2) {
  const int step = 1 << step_log2;
  for (int group = static_cast<int>(threadIdx.x); group < elements >> levels; group += static_cast<int>(blockDim.x)) {
    float* base = tile + padded(((group >> step_log2) << (step_log2 + levels)) + (group & (step - 1)));
    float x[1 << levels];
#pragma unroll
    for (int i = 0; i < (1 << levels); ++i) x[i] = base[padded(i << step_log2)];
    butterflies<levels>(x);
#pragma unroll
    for (int i = 0; i < (1 << levels); ++i) base[padded(i << step_log2)] = x[i];
  }
}

/// The levels from `first` to `last`, in as few passes over the tile as registers allow, with a barrier behind each. Distances begin at 2^unit_log2.
__device__ inline void transform_levels(float* tile, int elements, int first, int last, int unit_log2) {
  while (first < last) {
    const int passes = (last - first + kMostLevels - 1) / kMostLevels, levels = (last - first + passes - 1) / passes;
    switch (levels) {
      case 1:
        transform_group<1>(tile, elements, unit_log2 + first);
        break;
      case 2:
        transform_group<2>(tile, elements, unit_log2 + first);
        break;
      case 3:
        transform_group<3>(tile, elements, unit_log2 + first);
        break;
      case 4:
        transform_group<4>(tile, elements, unit_log2 + first);
        break;
      default:
        transform_group<5>(tile, elements, unit_log2 + first);
    }
    first += levels;
    __syncthreads();
  }
}

/// A_K of a block: a bit for each sign, rows of 32-bit words, as many rows as whole tiles of the matrix units have.
struct Signs {
  const uint32_t* words;
  int order, row_words;

  __device__ bool is_minus(int row, int column) const { return ((words[row * row_words + column / 32] >> (column % 32)) & 1) != 0; }
};

/// Columns of the tile: K elements `inner` = 2^inner_log2 apart. Column c begins at element first(c).
struct Columns {
  int count, order, inner_log2;

  __device__ int first(int c) const { return ((c >> inner_log2) * order << inner_log2) + (c & ((1 << inner_log2) - 1)); }
};

/// +1 or -1 twice in T, by the two lowest bits.
template <class T>
__device__ uint32_t signed_ones(uint32_t bits) {
  constexpr uint32_t kOnes = std::is_same_v<T, BFloat16> ? 0x3F803F80u : 0x3C003C00u;
  return kOnes ^ ((bits & 1u) << 15) ^ ((bits & 2u) << 30);
}

/// Replaces each column by A_K times it, 16 rows by 8 columns of a warp at a time, K at most 16 `steps`. Numbers of 16 bits, which the tile has as they were
/// read, are operands as they are; a float32 is the sum of three bfloat16, which have its 24 bits. Sums are float32. An infinity becomes NaN in float32.
/// A warp reads all of its columns before it writes the first; no other warp has them. Barriers are the caller's.
template <int steps, class T>
__device__ __forceinline__ void multiply_columns(float* tile, const Signs& signs, const Columns& columns) {
  using Part = std::conditional_t<std::is_same_v<T, float>, BFloat16, T>;
  constexpr int kParts = std::is_same_v<T, float> ? 3 : 1;
  // In a product's tile a lane has rows group and group + 8, of A_K and of the sums, and two columns from 2 quad_lane on; of b it has column group.
  const int lane = static_cast<int>(threadIdx.x) % cuda::kWarp, group = lane / 4, quad_lane = lane % 4;
  const int warp = static_cast<int>(threadIdx.x) / cuda::kWarp, warps = static_cast<int>(blockDim.x) / cuda::kWarp, order = columns.order;
  for (int strip = warp * 8; strip < columns.count; strip += warps * 8) {
    const bool is_column = strip + group < columns.count;
    const int from = columns.first(strip + group);
    const auto value = [&](int j) { return is_column && j < order ? tile[padded(from + (j << columns.inner_log2))] : 0.0f; };
    uint32_t b[kParts][steps][2];
#pragma unroll
    for (int t = 0; t < steps; ++t) {
      if (16 * t >= order) continue;
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const int j = 16 * t + 8 * half + 2 * quad_lane;
        float low = value(j), high = value(j + 1);
#pragma unroll
        for (int p = 0; p < kParts; ++p) {
          const Part low_part = from_float<Part>(low), high_part = from_float<Part>(high);
          b[p][t][half] = static_cast<uint32_t>(low_part.bits) | (static_cast<uint32_t>(high_part.bits) << 16);
          low -= to_float(low_part);
          high -= to_float(high_part);
        }
      }
    }
    __syncwarp();
    for (int row = 0; row < order; row += 16) {
      float sums[4] = {};
      const uint32_t *upper = signs.words + (row + group) * signs.row_words, *lower = upper + 8 * signs.row_words;
#pragma unroll
      for (int t = 0; t < steps; ++t) {
        if (16 * t >= order) continue;
        const uint32_t up = upper[t / 2] >> (t % 2 * 16 + 2 * quad_lane), down = lower[t / 2] >> (t % 2 * 16 + 2 * quad_lane);
        const uint32_t a[4] = {signed_ones<Part>(up), signed_ones<Part>(down), signed_ones<Part>(up >> 8), signed_ones<Part>(down >> 8)};
#pragma unroll
        for (int p = 0; p < kParts; ++p) cuda::multiply_add<Part>(sums, a, b[p][t][0], b[p][t][1]);
      }
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int sum_row = row + group + i / 2 * 8, column = strip + 2 * quad_lane + i % 2;
        if (sum_row < order && column < columns.count) tile[padded(columns.first(column) + (sum_row << columns.inner_log2))] = sums[i];
      }
    }
  }
}

}  // namespace halo::hadamard_tile
