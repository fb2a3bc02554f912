#include "ops/attention/attention.h"

#include "ops/attention/attention_tiles.cuh"

namespace halo {

namespace {

using namespace attention_tiles;

/// A block has a tile of queries of one head and walks along the keys they may see: scores, running maximum and sum, weighted values, all float32.
/// Bound by shared memory and plain multiplications. grid: (query tiles, B H).
template <class S, class T>
__global__ void __launch_bounds__(kThreads) attention_kernel(const T* q, const T* k, const T* v, AttentionMask mask, T* y, float* log_sum_exp,
                                                             AttentionSizes sizes, float scale) {
  auto* queries = cuda::dynamic_shared<float>();
  float *keys = queries + S::kRows, *weights = keys + S::kRows;
  const int x = static_cast<int>(threadIdx.x) % kSide, own_row = static_cast<int>(threadIdx.x) / kSide * S::kEach;
  const int64_t pair = blockIdx.y, batch = pair / sizes.heads, head = pair % sizes.heads, group = head / (sizes.heads / sizes.groups);
  // The last tiles of a causal attention have the most keys: they start first.
  const int64_t first = static_cast<int64_t>(gridDim.x - 1 - blockIdx.x) * S::kTile;
  const T *q_head = q + pair * sizes.queries * sizes.dim, *k_head = k + (batch * sizes.groups + group) * sizes.keys * sizes.dim;
  const T* v_head = v + (batch * sizes.groups + group) * sizes.keys * sizes.dim;
  const Sight sight = sight_of(mask, sizes, batch);
  load_rows<S>(q_head, first, sizes.queries, sizes.dim, queries);
  float sums[S::kEach][S::kOwn] = {}, max[S::kEach], total[S::kEach] = {};
  for (float& m : max) m = -std::numeric_limits<float>::infinity();
  const int64_t end = mask.causal && first + S::kTile < sizes.keys ? first + S::kTile : sizes.keys;
  for (int64_t key_at = 0; key_at < end; key_at += S::kTile) {
    __syncthreads();
    load_rows<S>(k_head, key_at, sizes.keys, sizes.dim, keys);
    __syncthreads();
    float scores[S::kEach][S::kEach];
    multiply_rows<S>(queries, keys, scores);
#pragma unroll
    for (int r = 0; r < S::kEach; ++r) {
      float largest = max[r];
      bool sees[S::kEach];
#pragma unroll
      for (int c = 0; c < S::kEach; ++c) {
        sees[c] = sight.sees(first + own_row + r, key_at + x + kSide * c);
        scores[r][c] *= scale;
        if (sees[c]) largest = cuda::MaxOf()(largest, scores[r][c]);
      }
      largest = over_side(cuda::MaxOf(), largest);
      const bool has_seen = largest != -std::numeric_limits<float>::infinity();
      const float kept = has_seen ? expf(max[r] - largest) : 1.0f;
      float added = 0;
#pragma unroll
      for (int c = 0; c < S::kEach; ++c) {
        const float weight = sees[c] && has_seen ? expf(scores[r][c] - largest) : 0.0f;
        added += weight;
        weights[(own_row + r) * S::kScorePitch + x + kSide * c] = weight;
      }
      total[r] = total[r] * kept + over_side(cuda::SumOf(), added);
      max[r] = largest;
#pragma unroll
      for (int i = 0; i < S::kOwn; ++i) sums[r][i] *= kept;
    }
    __syncthreads();
    load_rows<S>(v_head, key_at, sizes.keys, sizes.dim, keys);
    __syncthreads();
    add_weighted<S>(weights, S::kScorePitch, 1, keys, sums);
  }
  float factors[S::kEach];
#pragma unroll
  for (int r = 0; r < S::kEach; ++r) {
    const int64_t row = first + own_row + r;
    factors[r] = total[r] == 0.0f ? 0.0f : 1.0f / total[r];
    if (log_sum_exp != nullptr && x == 0 && row < sizes.queries) log_sum_exp[pair * sizes.queries + row] = max[r] + logf(total[r]);
  }
  if (y != nullptr) store_rows<S>(y + pair * sizes.queries * sizes.dim, first, sizes.queries, sizes.dim, sums, factors);
}

}  // namespace

cudaError_t attention_cuda(DType type, const void* q, const void* k, const void* v, const AttentionMask& mask, void* y, float* log_sum_exp,
                           const AttentionSizes& sizes, float scale, cudaStream_t stream) {
  const int64_t pairs = sizes.batch * sizes.heads;
  if (pairs > 65535) return cudaErrorInvalidValue;
  if (pairs * sizes.queries == 0) return cudaSuccess;
  return cuda::dispatch_float(type, [&]<class T>() {
    return dispatch_dim(sizes.dim, [&]<class S>() {
      constexpr int kBytes = (2 * S::kRows + S::kScores) * static_cast<int>(sizeof(float));
      HALO_CUDA_RETURN_IF_ERROR(cudaFuncSetAttribute(attention_kernel<S, T>, cudaFuncAttributeMaxDynamicSharedMemorySize, kBytes));
      return cuda::launch(attention_kernel<S, T>, dim3(cuda::grid_for(sizes.queries, S::kTile), static_cast<unsigned>(pairs)), kThreads, kBytes, stream,
                          static_cast<const T*>(q), static_cast<const T*>(k), static_cast<const T*>(v), mask, static_cast<T*>(y), log_sum_exp, sizes, scale);
    });
  });
}

}  // namespace halo
