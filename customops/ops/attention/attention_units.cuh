// Tiles of an attention on the matrix units, for 16-bit types: what Attention and AttentionGrad share. Four warps have a tile of 64 rows, 16 of them each. In a
// product's 16 x 8 tile a lane has rows lane_row (lane / 4) and lane_row + 8, and the two columns from 2 quad_lane (lane % 4) on.
#pragma once

#include "ops/attention/attention_tiles.cuh"
#include "provider/kernels/matrix_units.cuh"

namespace halo::attention_units {

using attention_tiles::KeyVisibility;
using attention_tiles::visibility_of;

constexpr int kThreads = 128;
constexpr int kRows = 64;
constexpr int kWarpRows = 16;
constexpr float kLog2E = 1.4426950408889634f, kLn2 = 0.6931471805599453f;

/// Heads of up to kDim channels. Rows lie 16 bytes further apart than they are long: eight of them begin in different banks.
template <int dim>
struct UnitTile {
  static constexpr int kDim = dim, kPitch = dim + 8, kSteps = dim / 16, kColumns = dim / 8;
};

/// Calls f.operator()<UnitTile>(); heads of more than 128 channels are left to attention_tiles.
template <class F>
Status dispatch_dim(int64_t dim, F&& f) {
  if (dim <= 32) return f.template operator()<UnitTile<32>>();
  if (dim <= 64) return f.template operator()<UnitTile<64>>();
  return f.template operator()<UnitTile<128>>();
}

/// Starts to load rows [first, first + count) of a head's `rows`, which lie `pitch` elements apart, zeros beyond; commit_copies() ends a group of them.
template <class S, class T>
__device__ void load_rows(const T* x, int64_t pitch, int64_t first, int count, int64_t rows, int64_t dim, bool is_packed, T* tile) {
  constexpr int kWidth = 8, kPacks = S::kDim / kWidth;
  for (int i = static_cast<int>(threadIdx.x); i < count * kPacks; i += kThreads) {
    const int row = i / kPacks, column = i % kPacks * kWidth;
    const int64_t left = first + row < rows ? dim - column : 0;
    const T* from = x + (first + row) * pitch + column;
    T* to = tile + row * S::kPitch + column;
    if (is_packed) {
      cuda::copy_async(to, left >= kWidth ? from : x, left >= kWidth);
    } else {
#pragma unroll
      for (int n = 0; n < kWidth; ++n) to[n] = n < left ? from[n] : T{0};
    }
  }
}

/// c (16, 8 tiles) = rows row.. of a times rows n.. of b, over all channels.
template <class S, int tiles, class T>
__device__ void multiply_rows(const T* a, int row, const T* b, float (&c)[tiles][4]) {
#pragma unroll
  for (int t = 0; t < tiles; ++t) {
#pragma unroll
    for (int i = 0; i < 4; ++i) c[t][i] = 0.0f;
  }
#pragma unroll
  for (int step = 0; step < S::kSteps; ++step) {
    uint32_t fragment[4];
    cuda::load_a(a, S::kPitch, row, step * 16, fragment);
#pragma unroll
    for (int t = 0; t < tiles; t += 2) {
      uint32_t pair[4];
      cuda::load_b_by_columns(b, S::kPitch, t * 8, step * 16, pair);
      cuda::multiply_add<T>(c[t], fragment, pair[0], pair[1]);
      cuda::multiply_add<T>(c[t + 1], fragment, pair[2], pair[3]);
    }
  }
}

/// sums (16, D) += weights (16, 8 tiles), as they are in registers, times the rows of values.
template <class S, int tiles, class T>
__device__ void add_weighted(const float (&weights)[tiles][4], const T* values, float (&sums)[S::kColumns][4]) {
#pragma unroll
  for (int t = 0; t < tiles; t += 2) {
    const uint32_t fragment[4] = {cuda::packed_pair<T>(weights[t][0], weights[t][1]), cuda::packed_pair<T>(weights[t][2], weights[t][3]),
                                  cuda::packed_pair<T>(weights[t + 1][0], weights[t + 1][1]), cuda::packed_pair<T>(weights[t + 1][2], weights[t + 1][3])};
#pragma unroll
    for (int n = 0; n < S::kColumns; n += 2) {
      uint32_t pair[4];
      cuda::load_b_by_rows(values, S::kPitch, t * 8, n * 8, pair);
      cuda::multiply_add<T>(sums[n], fragment, pair[0], pair[1]);
      cuda::multiply_add<T>(sums[n + 1], fragment, pair[2], pair[3]);
    }
  }
}

/// Writes sums * factor[0 for lane_row, 1 for lane_row + 8] to rows row.. of a head, which lie `pitch` elements apart.
template <class S, class T>
__device__ void store_rows(T* out, int64_t pitch, int64_t row, int64_t rows, int64_t dim, const float (&sums)[S::kColumns][4], const float (&factors)[2]) {
  const int lane_row = static_cast<int>(threadIdx.x) % cuda::kWarp / 4, quad_lane = static_cast<int>(threadIdx.x) % 4;
#pragma unroll
  for (int n = 0; n < S::kColumns; ++n) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int64_t to = row + lane_row + i / 2 * 8;
      const int column = n * 8 + quad_lane * 2 + i % 2;
      if (to < rows && column < dim) out[to * pitch + column] = from_float<T>(sums[n][i] * factors[i / 2]);
    }
  }
}

/// Whether every query of [query, query + queries) and every key of [key, key + keys) is there, no key ahead of a query, and none out of its window. Where
/// their tiles overlap wholly as well no element needs a look.
__device__ inline bool is_whole(const KeyVisibility& visibility, int64_t query, int queries, int64_t key, int keys) {
  return query + queries <= visibility.queries && key + keys <= visibility.keys && (!visibility.causal || key + keys <= query + 1) &&
         (visibility.window == 0 || key > query + queries - 1 - visibility.window);
}

}  // namespace halo::attention_units
