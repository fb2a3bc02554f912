#include "ops/attention_grad/attention_grad_launch.cuh"

namespace halo {

namespace {

using namespace attention_tiles;

/// Where delta (B, H, T) has what belongs to a row of (B, T, H).
__device__ inline int64_t by_head_of(int64_t row, const AttentionSizes& sizes) {
  const int64_t head = row % sizes.heads, token = row / sizes.heads % sizes.queries, batch = row / sizes.heads / sizes.queries;
  return (batch * sizes.heads + head) * sizes.queries + token;
}

/// delta (B, H, T) = the sum of dy * y over each row, one behind the other in either layout. A warp has every (warps of the grid)-th row.
template <class T>
__global__ void __launch_bounds__(kThreads)
    attention_delta_kernel(const T* dy, const T* y, float* delta, int64_t rows, AttentionSizes sizes, const int32_t* only_rows) {
  const int64_t dim = sizes.dim, rows_per_batch = sizes.heads * sizes.queries;
  const int lane = static_cast<int>(threadIdx.x) % cuda::kWarp;
  const int64_t warps = static_cast<int64_t>(gridDim.x) * kThreads / cuda::kWarp;
  for (int64_t row = (static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x) / cuda::kWarp; row < rows; row += warps) {
    if (is_left_out(only_rows, row / rows_per_batch)) continue;
    float sum = 0;
    for (int64_t i = lane; i < dim; i += cuda::kWarp) sum += to_float(dy[row * dim + i]) * to_float(y[row * dim + i]);
    sum = cuda::over_warp(cuda::SumOf(), sum);
    if (lane == 0) delta[sizes.layout == HeadLayout::kBhsd ? row : by_head_of(row, sizes)] = sum;
  }
}

/// From the tiles of a query tile and a key tile: P = exp(scale q k^T - log_sum_exp) where seen, and P (dy v^T - delta), into shared memory by
/// (query, key). Their first rows are `query_at` and `key_at`.
template <class S>
__device__ void gradient_of_scores(const float* queries, const float* keys, const float* errors, const float* values, const float* log_sums,
                                   const float* deltas, const KeyVisibility& visibility, int64_t query_at, int64_t key_at, float scale, float* p, float* ds) {
  const int thread_column = static_cast<int>(threadIdx.x) % kSide, thread_row = static_cast<int>(threadIdx.x) / kSide * S::kThreadRows;
  float scores[S::kThreadRows][S::kThreadRows], dp[S::kThreadRows][S::kThreadRows];
  multiply_rows<S>(queries, keys, scores);
  multiply_rows<S>(errors, values, dp);
#pragma unroll
  for (int r = 0; r < S::kThreadRows; ++r) {
    const int64_t query = query_at + thread_row + r;
    const float log_sum = query < visibility.queries ? log_sums[query] : 0.0f, delta = query < visibility.queries ? deltas[query] : 0.0f;
#pragma unroll
    for (int c = 0; c < S::kThreadRows; ++c) {
      const int column = thread_column + kSide * c;
      const float weight = visibility.sees(query, key_at + column) ? expf(scores[r][c] * scale - log_sum) : 0.0f;
      if (p != nullptr) p[(thread_row + r) * S::kScorePitch + column] = weight;
      ds[(thread_row + r) * S::kScorePitch + column] = weight == 0.0f ? 0.0f : weight * (dp[r][c] - delta);
    }
  }
}

/// A block has a tile of keys of one key/value head and walks along the queries of all heads that read it, in order, so that nothing is added by
/// atomics. grid: (key tiles, B G).
template <class S, class T>
__global__ void __launch_bounds__(kThreads) attention_key_gradient_kernel(AttentionGradTensors<T> b, AttentionMask mask, AttentionSizes sizes) {
  auto* keys = cuda::dynamic_shared<float>();
  float *values = keys + S::kRows, *queries = values + S::kRows, *errors = queries + S::kRows, *p = errors + S::kRows, *ds = p + S::kScores;
  const int64_t pair = blockIdx.y, batch = pair / sizes.groups, group = pair % sizes.groups, heads = sizes.heads / sizes.groups;
  const int64_t first = static_cast<int64_t>(blockIdx.x) * S::kTile;
  if (is_left_out(b.only_rows, batch)) return;
  const KeyVisibility visibility = visibility_of(mask, sizes, batch);
  const int64_t query_pitch = b.strides.query.token, key_pitch = b.strides.key.token, key_offset = offset_of(b.strides.key, batch, group);
  load_rows<S>(b.k + key_offset, key_pitch, first, sizes.keys, sizes.dim, keys);
  load_rows<S>(b.v + key_offset, key_pitch, first, sizes.keys, sizes.dim, values);
  const DocumentRange documents = range_of(visibility.documents, first, S::kTile, sizes.keys);
  const bool is_shown = overlap_of(nullptr, visibility.mask, {}, first, S::kTile, sizes.keys).any;
  float dk[S::kThreadRows][S::kThreadChannels] = {}, dv[S::kThreadRows][S::kThreadChannels] = {};
  const int64_t query_end = query_end_of(mask, first, S::kTile, sizes.queries);
  for (int64_t n = 0; is_shown && n < heads; ++n) {
    const int64_t head = group * heads + n, query_offset = offset_of(b.strides.query, batch, head), row = (batch * sizes.heads + head) * sizes.queries;
    for (int64_t query_at = mask.causal ? first : 0; query_at < query_end; query_at += S::kTile) {
      if (!overlap_of(visibility.documents, nullptr, documents, query_at, S::kTile, sizes.queries).any) continue;
      __syncthreads();
      load_rows<S>(b.q + query_offset, query_pitch, query_at, sizes.queries, sizes.dim, queries);
      load_rows<S>(b.dy + query_offset, query_pitch, query_at, sizes.queries, sizes.dim, errors);
      __syncthreads();
      gradient_of_scores<S>(queries, keys, errors, values, b.log_sum_exp + row, b.delta + row, visibility, query_at, first, b.scale, p, ds);
      __syncthreads();
      add_weighted<S>(p, 1, S::kScorePitch, errors, dv);
      add_weighted<S>(ds, 1, S::kScorePitch, queries, dk);
    }
  }
  float ones[S::kThreadRows], scales[S::kThreadRows];
#pragma unroll
  for (int r = 0; r < S::kThreadRows; ++r) ones[r] = 1.0f, scales[r] = b.scale;
  if (b.dv != nullptr) store_rows<S>(b.dv + key_offset, key_pitch, first, sizes.keys, sizes.dim, dv, ones);
  if (b.dk != nullptr) store_rows<S>(b.dk + key_offset, key_pitch, first, sizes.keys, sizes.dim, dk, scales);
}

/// A block has a tile of queries of one head and walks along the keys they may see. grid: (query tiles, B H).
template <class S, class T>
__global__ void __launch_bounds__(kThreads) attention_query_gradient_kernel(AttentionGradTensors<T> b, AttentionMask mask, AttentionSizes sizes) {
  auto* queries = cuda::dynamic_shared<float>();
  float *errors = queries + S::kRows, *keys = errors + S::kRows, *values = keys + S::kRows, *ds = values + S::kRows;
  const int64_t pair = blockIdx.y, batch = pair / sizes.heads, head = pair % sizes.heads, group = head / (sizes.heads / sizes.groups);
  const int64_t first = static_cast<int64_t>(gridDim.x - 1 - blockIdx.x) * S::kTile;
  if (is_left_out(b.only_rows, batch)) return;
  const KeyVisibility visibility = visibility_of(mask, sizes, batch);
  const int64_t query_pitch = b.strides.query.token, key_pitch = b.strides.key.token;
  const int64_t query_offset = offset_of(b.strides.query, batch, head), key_offset = offset_of(b.strides.key, batch, group);
  load_rows<S>(b.q + query_offset, query_pitch, first, sizes.queries, sizes.dim, queries);
  load_rows<S>(b.dy + query_offset, query_pitch, first, sizes.queries, sizes.dim, errors);
  float dq[S::kThreadRows][S::kThreadChannels] = {}, scales[S::kThreadRows];
  const int64_t end = mask.causal && first + S::kTile < sizes.keys ? first + S::kTile : sizes.keys;
  const DocumentRange documents = range_of(visibility.documents, first, S::kTile, sizes.queries);
  for (int64_t key_at = first_key_of(mask, first, S::kTile); key_at < end; key_at += S::kTile) {
    if (!overlap_of(visibility.documents, visibility.mask, documents, key_at, S::kTile, sizes.keys).any) continue;
    __syncthreads();
    load_rows<S>(b.k + key_offset, key_pitch, key_at, sizes.keys, sizes.dim, keys);
    load_rows<S>(b.v + key_offset, key_pitch, key_at, sizes.keys, sizes.dim, values);
    __syncthreads();
    gradient_of_scores<S>(queries, keys, errors, values, b.log_sum_exp + pair * sizes.queries, b.delta + pair * sizes.queries, visibility, first, key_at,
                          b.scale, nullptr, ds);
    __syncthreads();
    add_weighted<S>(ds, S::kScorePitch, 1, keys, dq);
  }
#pragma unroll
  for (int r = 0; r < S::kThreadRows; ++r) scales[r] = b.scale;
  store_rows<S>(b.dq + query_offset, query_pitch, first, sizes.queries, sizes.dim, dq, scales);
}

}  // namespace

int64_t attention_grad_workspace_cuda(const AttentionSizes& sizes) { return sizes.batch * sizes.heads * sizes.queries * static_cast<int64_t>(sizeof(float)); }

Status attention_grad_cuda(DType type, const AttentionGradBuffers& buffers, const AttentionMask& mask, const AttentionSizes& sizes, float scale,
                           const int32_t* only_rows, void* workspace, cudaStream_t stream) {
  constexpr int64_t kMostDeltaBlocks = 4096;  // few enough to end at once where every row is left out
  const int64_t rows = sizes.batch * sizes.heads * sizes.queries;
  HALO_REQUIRE(sizes.batch * sizes.heads <= cuda::kMostBlocksYZ, "at most " << cuda::kMostBlocksYZ << " batch rows times heads", sizes.batch * sizes.heads,
               "Take a smaller batch.");
  return cuda::dispatch_float(type, [&]<class T>() {
    auto* delta = static_cast<float*>(workspace);
    const AttentionGradTensors<T> b{.dy = static_cast<const T*>(buffers.dy),
                                    .q = static_cast<const T*>(buffers.q),
                                    .k = static_cast<const T*>(buffers.k),
                                    .v = static_cast<const T*>(buffers.v),
                                    .y = static_cast<const T*>(buffers.y),
                                    .log_sum_exp = buffers.log_sum_exp,
                                    .delta = delta,
                                    .dq = static_cast<T*>(buffers.dq),
                                    .dk = static_cast<T*>(buffers.dk),
                                    .dv = static_cast<T*>(buffers.dv),
                                    .only_rows = only_rows,
                                    .scale = scale,
                                    .is_packed = sizes.dim % 8 == 0 && cuda::is_aligned(buffers.q, 16) && cuda::is_aligned(buffers.k, 16) &&
                                                 cuda::is_aligned(buffers.v, 16) && cuda::is_aligned(buffers.dy, 16),
                                    .strides = strides_of(sizes)};
    const int64_t blocks = std::min<int64_t>(cuda::ceil_div(rows, kThreads / cuda::kWarp), kMostDeltaBlocks);
    HALO_RETURN_IF_ERROR(
        cuda::launch(attention_delta_kernel<T>, dim3(static_cast<unsigned>(blocks)), kThreads, 0, stream, b.dy, b.y, delta, rows, sizes, only_rows));
    if constexpr (!std::is_same_v<T, float>) {
      if (sizes.dim >= 1 && sizes.dim <= kMostUnitsDim) return attention_grad_units(b, mask, sizes, stream);
    }
    return dispatch_dim(sizes.dim, [&]<class S>() {
      constexpr int kFloat = static_cast<int>(sizeof(float)), kQueryBytes = (4 * S::kRows + S::kScores) * kFloat;
      return launch_gradients<T>({attention_key_gradient_kernel<S, T>, kThreads, S::kTile, kQueryBytes + S::kScores * kFloat},
                                 {attention_query_gradient_kernel<S, T>, kThreads, S::kTile, kQueryBytes}, b, mask, sizes, stream);
    });
  });
}

}  // namespace halo
