// Tiles of an attention in shared memory, float32: what Attention, AttentionGrad and masked_attention share. A block of 256 threads, as 16 x 16, has a tile of
// queries (rows) and of keys (columns) at a time. thread_row is the first of a thread's rows within the tile, thread_column its first column; row and column
// without a prefix count from the start of the tensor.
#pragma once

#include "common/visibility.h"
#include "provider/kernels/broadcast.cuh"

namespace halo::attention_tiles {

constexpr int kThreads = 256;
constexpr int kSide = 16;

/// Heads that attention_units.cuh takes, of 16-bit types; wider ones are left to these tiles.
constexpr int64_t kMostUnitsDim = 128;

/// kTile queries or keys, heads of up to kDim channels. A thread has kThreadRows rows that lie together, and as many columns kSide apart.
template <int tile, int dim>
struct FloatTile {
  static constexpr int kTile = tile, kDim = dim, kThreadRows = tile / kSide;
  /// Channels (elements of a head) of a thread: packs of kPack that lie together, kSide packs apart.
  static constexpr int kPack = dim >= 64 ? 4 : dim / kSide, kPacks = dim / (kSide * kPack), kThreadChannels = kPack * kPacks;
  /// Floats from one row to the next; four more than there are, so that rows begin in different banks.
  static constexpr int kPitch = dim + 4, kScorePitch = tile + 4;
  static constexpr int kRows = tile * kPitch, kScores = tile * kScorePitch;
};

/// Calls f.operator()<FloatTile>() with the tile for heads of `dim` channels, 1 to 256.
template <class F>
Status dispatch_dim(int64_t dim, F&& f) {
  HALO_REQUIRE(dim >= 1 && dim <= 256, "heads of 1 to 256 channels", dim, "Run this graph on the CPU: --device cpu.");
  if (dim <= 32) return f.template operator()<FloatTile<64, 32>>();
  if (dim <= 64) return f.template operator()<FloatTile<64, 64>>();
  if (dim <= 128) return f.template operator()<FloatTile<64, 128>>();
  return f.template operator()<FloatTile<32, 256>>();
}

/// Where the heads of an attention's tensors lie.
struct AttentionStrides {
  HeadStrides query, key;
};

inline AttentionStrides strides_of(const AttentionSizes& sizes) { return {sizes.query_strides(), sizes.key_strides()}; }

/// Of a head's first row, in elements.
__device__ inline int64_t offset_of(const HeadStrides& strides, int64_t batch, int64_t head) { return batch * strides.batch + head * strides.head; }

/// Rows [first, first + tile) of a head's `rows`, which lie `pitch` elements apart, as float32, zeros beyond: all of a thread's loads before its first store.
template <class S, class T>
__device__ void load_rows(const T* x, int64_t pitch, int64_t first, int64_t rows, int64_t dim, float* tile) {
  constexpr int kWidth = 4, kPacks = S::kDim / kWidth, kSteps = S::kTile * kPacks / kThreads;
  const bool is_packed = (reinterpret_cast<uintptr_t>(x) | static_cast<uintptr_t>(pitch * static_cast<int64_t>(sizeof(T)))) % (kWidth * sizeof(T)) == 0;
  cuda::Pack<T, kWidth> packs[kSteps];
#pragma unroll
  for (int n = 0; n < kSteps; ++n) {
    const int i = static_cast<int>(threadIdx.x) + n * kThreads, row = i / kPacks, column = i % kPacks * kWidth;
    const int64_t left = first + row < rows ? dim - column : 0;
    const T* from = x + (first + row) * pitch + column;
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
struct KeyVisibility {
  const int64_t *mask, *documents;  // of the batch row, or null
  int64_t queries, keys;
  bool causal;
  int64_t window;  // 0: none

  __device__ bool sees(int64_t query, int64_t key) const {
    if (query >= queries || key >= keys || (causal && key > query) || (window > 0 && key <= query - window)) return false;
    if (mask != nullptr && mask[key] == 0) return false;
    return documents == nullptr || documents[query] == documents[key];
  }
};

/// Whether a batch row is left out: `only_rows`, where not null, has 0 for it.
__device__ inline bool is_left_out(const int32_t* only_rows, int64_t batch) { return only_rows != nullptr && only_rows[batch] == 0; }

/// has_masks false: there is neither mask nor documents, which the compiler then knows.
template <bool has_masks = true>
__device__ KeyVisibility visibility_of(const AttentionMask& mask, const AttentionSizes& sizes, int64_t batch) {
  KeyVisibility visibility{nullptr, nullptr, sizes.queries, sizes.keys, mask.causal, mask.window};
  if constexpr (has_masks) {
    if (mask.mask != nullptr) visibility.mask = mask.mask + batch * sizes.keys;
    if (mask.documents != nullptr) visibility.documents = mask.documents + batch * sizes.queries;
  }
  return visibility;
}

/// Where the keys begin, in whole tiles of `step`, that queries from `first` on may see.
__device__ inline int64_t first_key_of(const AttentionMask& mask, int64_t first, int step) {
  return mask.window > 0 && first >= mask.window ? (first - mask.window + 1) / step * step : 0;
}

/// Where the queries end that may see keys [first, first + count).
__device__ inline int64_t query_end_of(const AttentionMask& mask, int64_t first, int count, int64_t queries) {
  return mask.window > 0 && first + count - 1 + mask.window < queries ? first + count - 1 + mask.window : queries;
}

/// The least and the largest document of a tile's rows.
struct DocumentRange {
  int64_t least = 0, largest = 0;
};

/// Rows [first, first + count), those below `rows`; the same in all lanes of a warp.
__device__ inline DocumentRange range_of(const int64_t* documents, int64_t first, int count, int64_t rows) {
  if (documents == nullptr) return {};
  DocumentRange range{std::numeric_limits<int64_t>::max(), std::numeric_limits<int64_t>::min()};
  for (int i = static_cast<int>(threadIdx.x) % cuda::kWarp; i < count && first + i < rows; i += cuda::kWarp) {
    const int64_t document = documents[first + i];
    if (document < range.least) range.least = document;
    if (document > range.largest) range.largest = document;
  }
  for (int lanes = cuda::kWarp / 2; lanes > 0; lanes /= 2) {
    const int64_t least = __shfl_xor_sync(cuda::kAllLanes, range.least, lanes), largest = __shfl_xor_sync(cuda::kAllLanes, range.largest, lanes);
    if (least < range.least) range.least = least;
    if (largest > range.largest) range.largest = largest;
  }
  return range;
}

/// Whether any, and whether all, rows of a tile may be seen from another tile, by mask and documents alone.
struct Overlap {
  bool any = true, all = true;
};

/// Rows [first, first + count), those below `rows`, from a tile whose documents have that range; the same in all lanes of a warp. Any: rows that the mask shows
/// and whose document lies within the range, which where documents are runs of rows are those that are seen. A tile without any is passed over.
__device__ inline Overlap overlap_of(const int64_t* documents, const int64_t* mask, const DocumentRange& range, int64_t first, int count, int64_t rows) {
  if (documents == nullptr && mask == nullptr) return {};
  bool any = false, all = true;
  for (int i = static_cast<int>(threadIdx.x) % cuda::kWarp; i < count && first + i < rows; i += cuda::kWarp) {
    const int64_t document = documents == nullptr ? range.least : documents[first + i];
    const bool is_in = (mask == nullptr || mask[first + i] != 0) && document >= range.least && document <= range.largest;
    any = any || is_in;
    all = all && is_in;
  }
  return {__ballot_sync(cuda::kAllLanes, any) != 0, __ballot_sync(cuda::kAllLanes, all) == cuda::kAllLanes && range.least == range.largest};
}

/// products[r][c] = row thread_row + r of a times row thread_column + kSide c of b, over kDim channels, four at a time.
template <class S>
__device__ void multiply_rows(const float* a, const float* b, float (&products)[S::kThreadRows][S::kThreadRows]) {
  const int thread_column = static_cast<int>(threadIdx.x) % kSide, thread_row = static_cast<int>(threadIdx.x) / kSide * S::kThreadRows;
#pragma unroll
  for (int r = 0; r < S::kThreadRows; ++r) {
#pragma unroll
    for (int c = 0; c < S::kThreadRows; ++c) products[r][c] = 0;
  }
#pragma unroll 4
  for (int d = 0; d < S::kDim; d += 4) {
    cuda::Pack<float, 4> a_elements[S::kThreadRows], b_elements[S::kThreadRows];
#pragma unroll
    for (int r = 0; r < S::kThreadRows; ++r) {
      a_elements[r] = *reinterpret_cast<const cuda::Pack<float, 4>*>(a + (thread_row + r) * S::kPitch + d);
      b_elements[r] = *reinterpret_cast<const cuda::Pack<float, 4>*>(b + (thread_column + kSide * r) * S::kPitch + d);
    }
#pragma unroll
    for (int r = 0; r < S::kThreadRows; ++r) {
#pragma unroll
      for (int c = 0; c < S::kThreadRows; ++c) {
#pragma unroll
        for (int i = 0; i < 4; ++i) products[r][c] += a_elements[r].values[i] * b_elements[c].values[i];
      }
    }
  }
}

/// sums[r][channel] += weight(row thread_row + r, i) * row i of values, over the tile's rows i. weights[row * row_step + i * step].
template <class S>
__device__ void add_weighted(const float* weights, int row_step, int step, const float* values, float (&sums)[S::kThreadRows][S::kThreadChannels]) {
  const int thread_column = static_cast<int>(threadIdx.x) % kSide, thread_row = static_cast<int>(threadIdx.x) / kSide * S::kThreadRows;
#pragma unroll 4
  for (int i = 0; i < S::kTile; ++i) {
    float row_weights[S::kThreadRows];
#pragma unroll
    for (int r = 0; r < S::kThreadRows; ++r) row_weights[r] = weights[(thread_row + r) * row_step + i * step];
#pragma unroll
    for (int g = 0; g < S::kPacks; ++g) {
      const auto pack = *reinterpret_cast<const cuda::Pack<float, S::kPack>*>(values + i * S::kPitch + (g * kSide + thread_column) * S::kPack);
#pragma unroll
      for (int n = 0; n < S::kPack; ++n) {
#pragma unroll
        for (int r = 0; r < S::kThreadRows; ++r) sums[r][g * S::kPack + n] += row_weights[r] * pack.values[n];
      }
    }
  }
}

/// Writes a thread's rows and channels of a head, whose rows lie `pitch` elements apart.
template <class S, class T>
__device__ void store_rows(T* out, int64_t pitch, int64_t first, int64_t rows, int64_t dim, const float (&values)[S::kThreadRows][S::kThreadChannels],
                           const float (&factors)[S::kThreadRows]) {
  const int thread_column = static_cast<int>(threadIdx.x) % kSide, thread_row = static_cast<int>(threadIdx.x) / kSide * S::kThreadRows;
#pragma unroll
  for (int r = 0; r < S::kThreadRows; ++r) {
    const int64_t row = first + thread_row + r;
#pragma unroll
    for (int i = 0; i < S::kThreadChannels; ++i) {
      const int column = (i / S::kPack * kSide + thread_column) * S::kPack + i % S::kPack;
      if (row < rows && column < dim) out[row * pitch + column] = from_float<T>(values[r][i] * factors[r]);
    }
  }
}

/// Over the 16 threads that have the same rows; their order is a butterfly's.
template <class F>
__device__ float over_side(F combine, float value) {
  for (int mask = kSide / 2; mask > 0; mask /= 2) value = combine(value, __shfl_xor_sync(cuda::kAllLanes, value, mask));
  return value;
}

/// The softmax of a thread's rows while tiles of keys come one after the other: the largest score so far, and the sum of exponentials below it. [Dao 2023]
template <class S>
struct RunningSoftmax {
  float largest[S::kThreadRows], total[S::kThreadRows] = {};

  __device__ RunningSoftmax() {
    for (float& score : largest) score = -std::numeric_limits<float>::infinity();
  }

  /// From the scores of a tile, -Inf where they are left out, to weights in shared memory by (row, column). `sums`, which weights of earlier tiles made, follow
  /// the new maximum.
  __device__ void add(const float (&scores)[S::kThreadRows][S::kThreadRows], float* weights, float (&sums)[S::kThreadRows][S::kThreadChannels]) {
    const int thread_column = static_cast<int>(threadIdx.x) % kSide, thread_row = static_cast<int>(threadIdx.x) / kSide * S::kThreadRows;
#pragma unroll
    for (int r = 0; r < S::kThreadRows; ++r) {
      float next = largest[r];
#pragma unroll
      for (int c = 0; c < S::kThreadRows; ++c) next = cuda::MaxOf()(next, scores[r][c]);
      next = over_side(cuda::MaxOf(), next);
      const bool has_seen = next != -std::numeric_limits<float>::infinity();
      const float rescale = has_seen ? expf(largest[r] - next) : 1.0f;
      float added = 0;
#pragma unroll
      for (int c = 0; c < S::kThreadRows; ++c) {
        const float weight = has_seen ? expf(scores[r][c] - next) : 0.0f;
        added += weight;
        weights[(thread_row + r) * S::kScorePitch + thread_column + kSide * c] = weight;
      }
      total[r] = total[r] * rescale + over_side(cuda::SumOf(), added);
      largest[r] = next;
#pragma unroll
      for (int i = 0; i < S::kThreadChannels; ++i) sums[r][i] *= rescale;
    }
  }

  /// What turns weighted sums into means: 0 for a row that has seen nothing.
  __device__ void factors(float (&result)[S::kThreadRows]) const {
#pragma unroll
    for (int r = 0; r < S::kThreadRows; ++r) result[r] = total[r] == 0.0f ? 0.0f : 1.0f / total[r];
  }
};

}  // namespace halo::attention_tiles
