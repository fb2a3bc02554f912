#include "provider/kernels/masked_attention.h"

#include "ops/attention/attention_tiles.cuh"

namespace halo::cuda {

namespace {

using namespace attention_tiles;

/// A block has a tile of the queries that read one key/value head, H / G heads one behind the other, and walks along the keys: scores, running maximum and
/// sum, weighted values. Bound by shared memory and plain multiplications. grid: (query tiles, B G).
template <class S, class T>
__global__ void __launch_bounds__(kThreads)
    masked_attention_kernel(const T* q, const T* k, const T* v, ScoreMask mask, T* y, AttentionSizes sizes, int64_t value_dim, float scale) {
  constexpr float kLowest = std::numeric_limits<float>::lowest();
  auto* queries = dynamic_shared<float>();
  float *keys = queries + S::kRows, *weights = keys + S::kRows;
  const int thread_column = static_cast<int>(threadIdx.x) % kSide, thread_row = static_cast<int>(threadIdx.x) / kSide * S::kThreadRows;
  const int64_t pair = blockIdx.y, batch = pair / sizes.groups, heads = sizes.heads / sizes.groups, rows = heads * sizes.queries;
  const int64_t first = static_cast<int64_t>(blockIdx.x) * S::kTile, past = mask.past == nullptr ? 0 : mask.past[batch * mask.past_step];
  const T *k_rows = k + pair * sizes.keys * sizes.dim, *v_rows = v + pair * sizes.keys * value_dim;
  // The last query of the tile, whichever head it belongs to.
  const int64_t from = first % sizes.queries, last = from + S::kTile > sizes.queries ? sizes.queries - 1 : from + S::kTile - 1;
  const bool is_cut = mask.causal && mask.values == nullptr && past + last + 1 < sizes.keys;
  const int64_t end = is_cut ? past + last + 1 : sizes.keys;
  // The first query of the tile, which may begin with the last ones of one head and go on with the first ones of the next.
  const int64_t unseen = past + (from + S::kTile > sizes.queries ? 0 : from) + 1 - mask.window;
  const int64_t start = mask.window > 0 && mask.values == nullptr && unseen > 0 ? unseen / S::kTile * S::kTile : 0;
  load_rows<S>(q + pair * rows * sizes.dim, sizes.dim, first, rows, sizes.dim, queries);
  float sums[S::kThreadRows][S::kThreadChannels] = {};
  RunningSoftmax<S> softmax;
  for (int64_t key_at = start; key_at < end; key_at += S::kTile) {
    __syncthreads();
    load_rows<S>(k_rows, sizes.dim, key_at, end, sizes.dim, keys);
    __syncthreads();
    float scores[S::kThreadRows][S::kThreadRows];
    multiply_rows<S>(queries, keys, scores);
#pragma unroll
    for (int r = 0; r < S::kThreadRows; ++r) {
      const int64_t row = first + thread_row + r, query = row % sizes.queries, head = pair % sizes.groups * heads + row / sizes.queries;
      const int64_t mask_at = batch * mask.strides[0] + head * mask.strides[1] + query * mask.strides[2];
#pragma unroll
      for (int c = 0; c < S::kThreadRows; ++c) {
        const int64_t key = key_at + thread_column + kSide * c;
        float score = scores[r][c] * scale;
        if (row >= rows || key >= end) {
          score = -std::numeric_limits<float>::infinity();
        } else {
          if (mask.values != nullptr && !mask.is_bool) score += to_float(static_cast<const T*>(mask.values)[mask_at + key * mask.strides[3]]);
          if (mask.values != nullptr && mask.is_bool && !static_cast<const bool*>(mask.values)[mask_at + key * mask.strides[3]]) score = kLowest;
          if (mask.causal && (key > past + query || (mask.window > 0 && key <= past + query - mask.window))) score = kLowest;
        }
        scores[r][c] = score;
      }
    }
    softmax.add(scores, weights, sums);
    __syncthreads();
    load_rows<S>(v_rows, value_dim, key_at, end, value_dim, keys);
    __syncthreads();
    add_weighted<S>(weights, S::kScorePitch, 1, keys, sums);
  }
  float factors[S::kThreadRows];
  softmax.factors(factors);
  store_rows<S>(y + pair * rows * value_dim, value_dim, first, rows, value_dim, sums, factors);
}

}  // namespace

Status masked_attention(DType type, const void* q, const void* k, const void* v, const ScoreMask& mask, void* y, const AttentionSizes& sizes, int64_t value_dim,
                        float scale, cudaStream_t stream) {
  const int64_t pairs = sizes.pairs();
  HALO_REQUIRE(pairs <= kMostBlocksYZ, "at most " << kMostBlocksYZ << " batch rows times key/value heads", pairs, "Take a smaller batch.");
  if (pairs * sizes.rows() == 0) return {};
  return dispatch_float(type, [&]<class T>() {
    return dispatch_dim(std::max(sizes.dim, value_dim), [&]<class S>() {
      constexpr int kBytes = (2 * S::kRows + S::kScores) * static_cast<int>(sizeof(float));
      HALO_CUDA_RETURN_IF_ERROR(cudaFuncSetAttribute(masked_attention_kernel<S, T>, cudaFuncAttributeMaxDynamicSharedMemorySize, kBytes));
      return launch(masked_attention_kernel<S, T>, dim3(grid_for(sizes.rows(), S::kTile), static_cast<unsigned>(pairs)), kThreads, kBytes, stream,
                    static_cast<const T*>(q), static_cast<const T*>(k), static_cast<const T*>(v), mask, static_cast<T*>(y), sizes, value_dim, scale);
    });
  });
}

}  // namespace halo::cuda
