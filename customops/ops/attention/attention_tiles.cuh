// Tiles of an attention in shared memory: what Attention and AttentionGrad share. 256 threads, as 16 x 16, have a tile of queries and keys.
#pragma once

#include "common/visibility.h"
#include "provider/kernels/broadcast.cuh"

namespace halo::attention_tiles {

constexpr int kThreads = 256;
constexpr int kSide = 16;

/// kTile queries or keys at a time, heads of up to kDim channels. A thread has kEach rows that lie together, and as many columns kSide apart.
template <int tile, int dim>
struct Shape {
  static constexpr int kTile = tile, kDim = dim, kEach = tile / kSide;
  /// Channels of a thread: groups of kGroup that lie together, kSide groups apart.
  static constexpr int kGroup = dim >= 64 ? 4 : dim / kSide, kGroups = dim / (kSide * kGroup), kOwn = kGroup * kGroups;
  /// Floats from one row to the next; four more than there are, so that rows begin in different banks.
  static constexpr int kPitch = dim + 4, kScorePitch = tile + 4;
  static constexpr int kRows = tile * kPitch, kScores = tile * kScorePitch;
};

/// Calls f.operator()<Shape>() with the tile for heads of `dim` channels, 1 to 256.
template <class F>
Status dispatch_dim(int64_t dim, F&& f) {
  HALO_REQUIRE(dim >= 1 && dim <= 256, "heads of 1 to 256 channels", dim, "Run this graph on the CPU: --device cpu.");
  if (dim <= 32) return f.template operator()<Shape<64, 32>>();
  if (dim <= 64) return f.template operator()<Shape<64, 64>>();
  if (dim <= 128) return f.template operator()<Shape<64, 128>>();
  return f.template operator()<Shape<32, 256>>();
}

/// Rows [first, first + tile) of x (rows, dim) as float32, zeros beyond: all of a thread's loads before its first store.
template <class S, class T>
__device__ void load_rows(const T* x, int64_t first, int64_t rows, int64_t dim, float* tile) {
  constexpr int kWidth = 4, kPacks = S::kDim / kWidth, kSteps = S::kTile * kPacks / kThreads;
  const bool is_packed = (reinterpret_cast<uintptr_t>(x) | static_cast<uintptr_t>(dim * static_cast<int64_t>(sizeof(T)))) % (kWidth * sizeof(T)) == 0;
  cuda::Pack<T, kWidth> packs[kSteps];
#pragma unroll
  for (int n = 0; n < kSteps; ++n) {
    const int i = static_cast<int>(threadIdx.x) + n * kThreads, row = i / kPacks, column = i % kPacks * kWidth;
    const int64_t left = first + row < rows ? dim - column : 0;
    const T* from = x + (first + row) * dim + column;
    if (is_packed && left >= kWidth) {
      packs[n] = *reinterpret_cast<const cuda::Pack<T, kWidth>*>(from);
    } else {
#pragma unroll
      for (int e = 0; e < kWidth; ++e) packs[n].values[e] = e < left ? from[e] : from_float<T>(0.0f);
    }
  }
#pragma unroll
  for (int n = 0; n < kSteps; ++n) {
    const int i = static_cast<int>(threadIdx.x) + n * kThreads, row = i / kPacks, column = i % kPacks * kWidth;
    cuda::Pack<float, kWidth> pack;
#pragma unroll
    for (int e = 0; e < kWidth; ++e) pack.values[e] = to_float(packs[n].values[e]);
    *reinterpret_cast<cuda::Pack<float, kWidth>*>(tile + row * S::kPitch + column) = pack;
  }
}

/// Which keys the queries of one batch row see: what AttentionMask says of it.
struct Sight {
  const int64_t *mask, *documents;  // of the batch row, or null
  int64_t queries, keys;
  bool causal;

  __device__ bool sees(int64_t query, int64_t key) const {
    if (query >= queries || key >= keys || (causal && key > query)) return false;
    if (mask != nullptr && mask[key] == 0) return false;
    return documents == nullptr || documents[query] == documents[key];
  }
};

__device__ inline Sight sight_of(const AttentionMask& mask, const AttentionSizes& sizes, int64_t batch) {
  return {mask.mask == nullptr ? nullptr : mask.mask + batch * sizes.keys, mask.documents == nullptr ? nullptr : mask.documents + batch * sizes.queries,
          sizes.queries, sizes.keys, mask.causal};
}

/// products[r][c] = row kEach y + r of a times row x + kSide c of b, over kDim channels, four at a time.
template <class S>
__device__ void multiply_rows(const float* a, const float* b, float (&products)[S::kEach][S::kEach]) {
  const int x = static_cast<int>(threadIdx.x) % kSide, y = static_cast<int>(threadIdx.x) / kSide;
#pragma unroll
  for (int r = 0; r < S::kEach; ++r) {
#pragma unroll
    for (int c = 0; c < S::kEach; ++c) products[r][c] = 0;
  }
#pragma unroll 4
  for (int d = 0; d < S::kDim; d += 4) {
    cuda::Pack<float, 4> own_a[S::kEach], own_b[S::kEach];
#pragma unroll
    for (int r = 0; r < S::kEach; ++r) {
      own_a[r] = *reinterpret_cast<const cuda::Pack<float, 4>*>(a + (y * S::kEach + r) * S::kPitch + d);
      own_b[r] = *reinterpret_cast<const cuda::Pack<float, 4>*>(b + (x + kSide * r) * S::kPitch + d);
    }
#pragma unroll
    for (int r = 0; r < S::kEach; ++r) {
#pragma unroll
      for (int c = 0; c < S::kEach; ++c) {
#pragma unroll
        for (int i = 0; i < 4; ++i) products[r][c] += own_a[r].values[i] * own_b[c].values[i];
      }
    }
  }
}

/// sums[r][own channel] += weight(row kEach y + r, i) * row i of values, over the tile's rows i. weights[row * row_step + i * step].
template <class S>
__device__ void add_weighted(const float* weights, int row_step, int step, const float* values, float (&sums)[S::kEach][S::kOwn]) {
  const int x = static_cast<int>(threadIdx.x) % kSide, y = static_cast<int>(threadIdx.x) / kSide;
#pragma unroll 4
  for (int i = 0; i < S::kTile; ++i) {
    float own[S::kEach];
#pragma unroll
    for (int r = 0; r < S::kEach; ++r) own[r] = weights[(y * S::kEach + r) * row_step + i * step];
#pragma unroll
    for (int g = 0; g < S::kGroups; ++g) {
      const auto pack = *reinterpret_cast<const cuda::Pack<float, S::kGroup>*>(values + i * S::kPitch + (g * kSide + x) * S::kGroup);
#pragma unroll
      for (int n = 0; n < S::kGroup; ++n) {
#pragma unroll
        for (int r = 0; r < S::kEach; ++r) sums[r][g * S::kGroup + n] += own[r] * pack.values[n];
      }
    }
  }
}

/// Writes a thread's rows and channels of (rows, dim).
template <class S, class T>
__device__ void store_rows(T* out, int64_t first, int64_t rows, int64_t dim, const float (&values)[S::kEach][S::kOwn], const float (&factors)[S::kEach]) {
  const int x = static_cast<int>(threadIdx.x) % kSide, y = static_cast<int>(threadIdx.x) / kSide;
#pragma unroll
  for (int r = 0; r < S::kEach; ++r) {
    const int64_t row = first + y * S::kEach + r;
#pragma unroll
    for (int i = 0; i < S::kOwn; ++i) {
      const int column = (i / S::kGroup * kSide + x) * S::kGroup + i % S::kGroup;
      if (row < rows && column < dim) out[row * dim + column] = from_float<T>(values[r][i] * factors[r]);
    }
  }
}

/// Over the 16 threads that have the same rows; their order is a butterfly's.
template <class F>
__device__ float over_side(F combine, float value) {
  for (int mask = kSide / 2; mask > 0; mask /= 2) value = combine(value, __shfl_xor_sync(cuda::kAllLanes, value, mask));
  return value;
}

}  // namespace halo::attention_tiles
