// What kernels of vectors along columns share: tiles of some columns in shared memory, 16 bytes of a row a pack.
#pragma once

#include <bit>

#include "ops/hadamard_transform/hadamard_units.cuh"

namespace halo::hadamard_columns {

using namespace hadamard_units;

inline constexpr int kPackElements = 8;

/// Where a block's tile lies, tiles of `rows` by `columns` elements: `across` of them side by side.
struct TileGrid {
  cuda::Divider across;
  int tiles, rows, columns;

  __device__ int64_t row(int tile) const { return static_cast<int64_t>(across.quotient(static_cast<uint32_t>(tile))) * rows; }
  __device__ int64_t column(int tile) const { return static_cast<int64_t>(across.remainder(static_cast<uint32_t>(tile))) * columns; }
};

/// Of a matrix of `columns` columns and `blocks` vectors below each other.
template <class Shape>
TileGrid grid_of(int64_t columns, int64_t blocks) {
  const int64_t across = cuda::ceil_div(columns, Shape::kColumns);
  return {.across = cuda::Divider(across), .tiles = static_cast<int>(across * blocks), .rows = Shape::kRows, .columns = Shape::kColumns};
}

/// Where pack `pack` of a row of the tile lies: eight successive rows meet different banks.
template <class Shape>
__device__ int place(int row, int pack) {
  return (row * Shape::kPacks + (pack ^ (row / (8 / Shape::kPacks) % Shape::kPacks))) * kPackElements;
}

/// The left operand of a product: S at 16 rows from 16 part and 16 columns from 16 step on. `base`: S_16.
__device__ inline void power_signs(int part, int step, const uint32_t (&base)[4], uint32_t (&signs)[4]) {
  const uint32_t flip = (__popc(static_cast<uint32_t>(part & step)) & 1) != 0 ? 0x80008000u : 0u;
#pragma unroll
  for (int n = 0; n < 4; ++n) signs[n] = base[n] ^ flip;
}

/// S_2 between the two of each pair of tiles that a warp has in registers.
template <int pairs>
__device__ void within_pairs(float (&sums)[pairs][2][4]) {
#pragma unroll
  for (int n = 0; n < pairs; ++n) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const float a = sums[n][0][i], b = sums[n][1][i];
      sums[n][0][i] = a + b;
      sums[n][1][i] = a - b;
    }
  }
}

}  // namespace halo::hadamard_columns
