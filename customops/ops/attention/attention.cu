#include "ops/attention/attention.h"

#include "ops/attention/attention_tiles.cuh"
#include "ops/attention/attention_units.cuh"

namespace halo {

namespace {

using namespace attention_tiles;

namespace units = attention_units;

/// As attention_kernel on the matrix units: a warp has 16 queries, whose scores and weighted values stay in registers. Scores are in base 2.
/// Bound by the matrix units and the exponentials. grid: (query tiles, B H).
template <class S, class T, bool has_masks>
__global__ void __launch_bounds__(units::kThreads)
    attention_units_kernel(const T* q, const T* k, const T* v, AttentionMask mask, T* y, float* log_sum_exp, AttentionSizes sizes, AttentionStrides strides,
                           float scale, const int32_t* only_rows, bool is_packed) {
  constexpr int kKeys = 64, kTiles = kKeys / 8;
  auto* queries = cuda::dynamic_shared<T>();
  T *keys = queries + units::kRows * S::kPitch, *values = keys + kKeys * S::kPitch;
  const int lane_row = static_cast<int>(threadIdx.x) % cuda::kWarp / 4, quad_lane = static_cast<int>(threadIdx.x) % 4;
  const int warp_row = static_cast<int>(threadIdx.x) / cuda::kWarp * units::kWarpRows;
  const int64_t pair = blockIdx.y, batch = pair / sizes.heads, head = pair % sizes.heads, group = head / (sizes.heads / sizes.groups);
  const int64_t first = static_cast<int64_t>(gridDim.x - 1 - blockIdx.x) * units::kRows, thread_row = first + warp_row + lane_row;
  const int64_t query_offset = offset_of(strides.query, batch, head), key_offset = offset_of(strides.key, batch, group);
  const T *k_head = k + key_offset, *v_head = v + key_offset;
  if (is_left_out(only_rows, batch)) return;
  const KeyVisibility visibility = visibility_of<has_masks>(mask, sizes, batch);
  const auto load_keys = [&](int64_t at) {
    units::load_rows<S>(k_head, strides.key.token, at, kKeys, sizes.keys, sizes.dim, is_packed, keys);
    cuda::commit_copies();
  };
  const int64_t end = mask.causal && first + units::kRows < sizes.keys ? first + units::kRows : sizes.keys;
  const DocumentRange documents = range_of(visibility.documents, first, units::kRows, sizes.queries);
  Overlap overlap;
  // The first tile of keys from `at` on that any query of the block may see, or what lies behind the last.
  const auto next_seen = [&](int64_t at) {
    for (; at < end; at += kKeys) {
      overlap = overlap_of(visibility.documents, visibility.mask, documents, at, kKeys, sizes.keys);
      if (overlap.any) break;
    }
    return at;
  };
  units::load_rows<S>(q + query_offset, strides.query.token, first, units::kRows, sizes.queries, sizes.dim, is_packed, queries);
  int64_t key_at = next_seen(first_key_of(mask, first, kKeys));
  load_keys(key_at);
  float sums[S::kColumns][4] = {}, max[2] = {-std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity()}, total[2] = {};
  const float factor = scale * units::kLog2E;
  while (key_at < end) {
    // Values come while scores are computed, the next keys while values are added.
    cuda::wait_for_copies<0>();
    __syncthreads();
    units::load_rows<S>(v_head, strides.key.token, key_at, kKeys, sizes.keys, sizes.dim, is_packed, values);
    cuda::commit_copies();
    float scores[kTiles][4];
    units::multiply_rows<S, kTiles>(queries, warp_row, keys, scores);
    __syncthreads();
    const bool sees_all = overlap.all && units::is_whole(visibility, first, units::kRows, key_at, kKeys);
    const int64_t after = next_seen(key_at + kKeys);
    load_keys(after);  // behind the last: zeros, or keys that are not used
    float largest[2] = {max[0], max[1]};
#pragma unroll
    for (int t = 0; t < kTiles; ++t) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        scores[t][i] *= factor;
        if (!sees_all && !visibility.sees(thread_row + i / 2 * 8, key_at + t * 8 + quad_lane * 2 + i % 2))
          scores[t][i] = -std::numeric_limits<float>::infinity();
        largest[i / 2] = fmaxf(largest[i / 2], scores[t][i]);  // a NaN shows in the sum
      }
    }
    float added[2] = {}, rescale[2], offset[2];
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      for (int lanes = 1; lanes < 4; lanes *= 2) largest[r] = fmaxf(largest[r], __shfl_xor_sync(cuda::kAllLanes, largest[r], lanes));
      offset[r] = largest[r] == -std::numeric_limits<float>::infinity() ? 0.0f : largest[r];  // of rows that have seen nothing: 2^-Inf is 0
      rescale[r] = cuda::exp2_of(max[r] - offset[r]);
      max[r] = largest[r];
    }
#pragma unroll
    for (int t = 0; t < kTiles; ++t) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        scores[t][i] = cuda::exp2_of(scores[t][i] - offset[i / 2]);
        added[i / 2] += scores[t][i];
      }
    }
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      for (int lanes = 1; lanes < 4; lanes *= 2) added[r] += __shfl_xor_sync(cuda::kAllLanes, added[r], lanes);
      total[r] = total[r] * rescale[r] + added[r];
    }
#pragma unroll
    for (int n = 0; n < S::kColumns; ++n) {
#pragma unroll
      for (int i = 0; i < 4; ++i) sums[n][i] *= rescale[i / 2];
    }
    cuda::wait_for_copies<1>();
    __syncthreads();
    units::add_weighted<S, kTiles>(scores, values, sums);
    key_at = after;
  }
  float factors[2];
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    const int64_t row = thread_row + r * 8;
    factors[r] = total[r] == 0.0f ? 0.0f : 1.0f / total[r];
    if (log_sum_exp != nullptr && quad_lane == 0 && row < sizes.queries) log_sum_exp[pair * sizes.queries + row] = max[r] * units::kLn2 + logf(total[r]);
  }
  if (y != nullptr) units::store_rows<S>(y + query_offset, strides.query.token, first + warp_row, sizes.queries, sizes.dim, sums, factors);
}

/// A block has a tile of queries of one head and walks along the keys they may see: scores, running maximum and sum, weighted values, all float32.
/// Bound by shared memory and plain multiplications. grid: (query tiles, B H).
template <class S, class T>
__global__ void __launch_bounds__(kThreads) attention_kernel(const T* q, const T* k, const T* v, AttentionMask mask, T* y, float* log_sum_exp,
                                                             AttentionSizes sizes, AttentionStrides strides, float scale, const int32_t* only_rows) {
  auto* queries = cuda::dynamic_shared<float>();
  float *keys = queries + S::kRows, *weights = keys + S::kRows;
  const int thread_column = static_cast<int>(threadIdx.x) % kSide, thread_row = static_cast<int>(threadIdx.x) / kSide * S::kThreadRows;
  const int64_t pair = blockIdx.y, batch = pair / sizes.heads, head = pair % sizes.heads, group = head / (sizes.heads / sizes.groups);
  // The last tiles of a causal attention have the most keys: they start first.
  const int64_t first = static_cast<int64_t>(gridDim.x - 1 - blockIdx.x) * S::kTile;
  const int64_t query_offset = offset_of(strides.query, batch, head), key_offset = offset_of(strides.key, batch, group);
  if (is_left_out(only_rows, batch)) return;
  const KeyVisibility visibility = visibility_of(mask, sizes, batch);
  load_rows<S>(q + query_offset, strides.query.token, first, sizes.queries, sizes.dim, queries);
  float sums[S::kThreadRows][S::kThreadChannels] = {};
  RunningSoftmax<S> softmax;
  const DocumentRange documents = range_of(visibility.documents, first, S::kTile, sizes.queries);
  const int64_t end = mask.causal && first + S::kTile < sizes.keys ? first + S::kTile : sizes.keys;
  for (int64_t key_at = first_key_of(mask, first, S::kTile); key_at < end; key_at += S::kTile) {
    if (!overlap_of(visibility.documents, visibility.mask, documents, key_at, S::kTile, sizes.keys).any) continue;
    __syncthreads();
    load_rows<S>(k + key_offset, strides.key.token, key_at, sizes.keys, sizes.dim, keys);
    __syncthreads();
    float scores[S::kThreadRows][S::kThreadRows];
    multiply_rows<S>(queries, keys, scores);
#pragma unroll
    for (int r = 0; r < S::kThreadRows; ++r) {
#pragma unroll
      for (int c = 0; c < S::kThreadRows; ++c) {
        const bool sees = visibility.sees(first + thread_row + r, key_at + thread_column + kSide * c);
        scores[r][c] = sees ? scores[r][c] * scale : -std::numeric_limits<float>::infinity();
      }
    }
    softmax.add(scores, weights, sums);
    __syncthreads();
    load_rows<S>(v + key_offset, strides.key.token, key_at, sizes.keys, sizes.dim, keys);
    __syncthreads();
    add_weighted<S>(weights, S::kScorePitch, 1, keys, sums);
  }
  float factors[S::kThreadRows];
  softmax.factors(factors);
#pragma unroll
  for (int r = 0; r < S::kThreadRows; ++r) {
    const int64_t row = first + thread_row + r;
    if (log_sum_exp != nullptr && thread_column == 0 && row < sizes.queries) {
      log_sum_exp[pair * sizes.queries + row] = softmax.largest[r] + logf(softmax.total[r]);
    }
  }
  if (y != nullptr) store_rows<S>(y + query_offset, strides.query.token, first, sizes.queries, sizes.dim, sums, factors);
}

}  // namespace

Status attention_cuda(DType type, const void* q, const void* k, const void* v, const AttentionMask& mask, void* y, float* log_sum_exp,
                      const AttentionSizes& sizes, float scale, const int32_t* only_rows, cudaStream_t stream) {
  const int64_t pairs = sizes.batch * sizes.heads;
  HALO_REQUIRE(pairs <= cuda::kMostBlocksYZ, "at most " << cuda::kMostBlocksYZ << " batch rows times heads", pairs, "Take a smaller batch.");
  if (pairs * sizes.queries == 0) return {};
  const AttentionStrides strides = strides_of(sizes);
  return cuda::dispatch_float(type, [&]<class T>() {
    const auto *queries = static_cast<const T*>(q), *keys = static_cast<const T*>(k), *values = static_cast<const T*>(v);
    if constexpr (!std::is_same_v<T, float>) {
      if (sizes.dim >= 1 && sizes.dim <= kMostUnitsDim) {
        const bool is_packed = sizes.dim % 8 == 0 && cuda::is_aligned(q, 16) && cuda::is_aligned(k, 16) && cuda::is_aligned(v, 16);
        const auto run = [&]<class S, bool has_masks>() -> Status {
          constexpr int kBytes = 3 * units::kRows * S::kPitch * static_cast<int>(sizeof(T));
          HALO_CUDA_RETURN_IF_ERROR(cudaFuncSetAttribute(attention_units_kernel<S, T, has_masks>, cudaFuncAttributeMaxDynamicSharedMemorySize, kBytes));
          const dim3 grid(cuda::grid_for(sizes.queries, units::kRows), static_cast<unsigned>(pairs));
          return cuda::launch(attention_units_kernel<S, T, has_masks>, grid, units::kThreads, kBytes, stream, queries, keys, values, mask, static_cast<T*>(y),
                              log_sum_exp, sizes, strides, scale, only_rows, is_packed);
        };
        return units::dispatch_dim(sizes.dim, [&]<class S>() {
          const bool has_masks = mask.mask != nullptr || mask.documents != nullptr;
          return has_masks ? run.template operator()<S, true>() : run.template operator()<S, false>();
        });
      }
    }
    return dispatch_dim(sizes.dim, [&]<class S>() {
      constexpr int kBytes = (2 * S::kRows + S::kScores) * static_cast<int>(sizeof(float));
      HALO_CUDA_RETURN_IF_ERROR(cudaFuncSetAttribute(attention_kernel<S, T>, cudaFuncAttributeMaxDynamicSharedMemorySize, kBytes));
      return cuda::launch(attention_kernel<S, T>, dim3(cuda::grid_for(sizes.queries, S::kTile), static_cast<unsigned>(pairs)), kThreads, kBytes, stream,
                          queries, keys, values, mask, static_cast<T*>(y), log_sum_exp, sizes, strides, scale, only_rows);
    });
  });
}

}  // namespace halo
