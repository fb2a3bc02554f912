#include "ops/attention/attention_tiles.cuh"
#include "ops/attention/attention_units.cuh"
#include "ops/attention_grad/attention_grad.h"

namespace halo {

namespace {

using namespace attention_tiles;

namespace units = attention_units;

template <class T>
struct Buffers {
  const T *dy, *q, *k, *v, *y;
  const float *log_sum_exp, *delta;
  T *dq, *dk, *dv;
};

/// delta (rows) = the sum of dy * y over each row. A warp has one row.
template <class T>
__global__ void __launch_bounds__(kThreads) attention_delta_kernel(const T* dy, const T* y, float* delta, int64_t rows, int64_t dim) {
  const int64_t row = (static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x) / cuda::kWarp;
  const int lane = static_cast<int>(threadIdx.x) % cuda::kWarp;
  if (row >= rows) return;
  float sum = 0;
  for (int64_t i = lane; i < dim; i += cuda::kWarp) sum += to_float(dy[row * dim + i]) * to_float(y[row * dim + i]);
  sum = cuda::over_warp(cuda::SumOf(), sum);
  if (lane == 0) delta[row] = sum;
}

/// From the tiles of a query tile and a key tile: P = exp(scale q k^T - log_sum_exp) where seen, and P (dy v^T - delta), into shared memory by
/// (query, key). Their first rows are `query_at` and `key_at`.
template <class S>
__device__ void gradient_of_scores(const float* queries, const float* keys, const float* errors, const float* values, const float* log_sums,
                                   const float* deltas, const Sight& sight, int64_t query_at, int64_t key_at, float scale, float* p, float* ds) {
  const int x = static_cast<int>(threadIdx.x) % kSide, own_row = static_cast<int>(threadIdx.x) / kSide * S::kEach;
  float scores[S::kEach][S::kEach], dp[S::kEach][S::kEach];
  multiply_rows<S>(queries, keys, scores);
  multiply_rows<S>(errors, values, dp);
#pragma unroll
  for (int r = 0; r < S::kEach; ++r) {
    const int64_t query = query_at + own_row + r;
    const float log_sum = query < sight.queries ? log_sums[query] : 0.0f, delta = query < sight.queries ? deltas[query] : 0.0f;
#pragma unroll
    for (int c = 0; c < S::kEach; ++c) {
      const int column = x + kSide * c;
      const float weight = sight.sees(query, key_at + column) ? expf(scores[r][c] * scale - log_sum) : 0.0f;
      if (p != nullptr) p[(own_row + r) * S::kScorePitch + column] = weight;
      ds[(own_row + r) * S::kScorePitch + column] = weight == 0.0f ? 0.0f : weight * (dp[r][c] - delta);
    }
  }
}

/// A block has a tile of keys of one key/value head and walks along the queries of all heads that read it, in order, so that nothing is added by
/// atomics. grid: (key tiles, B G).
template <class S, class T>
__global__ void __launch_bounds__(kThreads) attention_key_gradient_kernel(Buffers<T> b, AttentionMask mask, AttentionSizes sizes, float scale) {
  auto* keys = cuda::dynamic_shared<float>();
  float *values = keys + S::kRows, *queries = values + S::kRows, *errors = queries + S::kRows, *p = errors + S::kRows, *ds = p + S::kScores;
  const int64_t pair = blockIdx.y, batch = pair / sizes.groups, group = pair % sizes.groups, heads = sizes.heads / sizes.groups;
  const int64_t first = static_cast<int64_t>(blockIdx.x) * S::kTile;
  const Sight sight = sight_of(mask, sizes, batch);
  load_rows<S>(b.k + pair * sizes.keys * sizes.dim, first, sizes.keys, sizes.dim, keys);
  load_rows<S>(b.v + pair * sizes.keys * sizes.dim, first, sizes.keys, sizes.dim, values);
  float dk[S::kEach][S::kOwn] = {}, dv[S::kEach][S::kOwn] = {};
  for (int64_t n = 0; n < heads; ++n) {
    const int64_t head = batch * sizes.heads + group * heads + n;
    for (int64_t query_at = mask.causal ? first : 0; query_at < sizes.queries; query_at += S::kTile) {
      __syncthreads();
      load_rows<S>(b.q + head * sizes.queries * sizes.dim, query_at, sizes.queries, sizes.dim, queries);
      load_rows<S>(b.dy + head * sizes.queries * sizes.dim, query_at, sizes.queries, sizes.dim, errors);
      __syncthreads();
      gradient_of_scores<S>(queries, keys, errors, values, b.log_sum_exp + head * sizes.queries, b.delta + head * sizes.queries, sight, query_at, first, scale,
                            p, ds);
      __syncthreads();
      add_weighted<S>(p, 1, S::kScorePitch, errors, dv);
      add_weighted<S>(ds, 1, S::kScorePitch, queries, dk);
    }
  }
  float ones[S::kEach], scales[S::kEach];
#pragma unroll
  for (int r = 0; r < S::kEach; ++r) ones[r] = 1.0f, scales[r] = scale;
  if (b.dv != nullptr) store_rows<S>(b.dv + pair * sizes.keys * sizes.dim, first, sizes.keys, sizes.dim, dv, ones);
  if (b.dk != nullptr) store_rows<S>(b.dk + pair * sizes.keys * sizes.dim, first, sizes.keys, sizes.dim, dk, scales);
}

/// A block has a tile of queries of one head and walks along the keys they may see. grid: (query tiles, B H).
template <class S, class T>
__global__ void __launch_bounds__(kThreads) attention_query_gradient_kernel(Buffers<T> b, AttentionMask mask, AttentionSizes sizes, float scale) {
  auto* queries = cuda::dynamic_shared<float>();
  float *errors = queries + S::kRows, *keys = errors + S::kRows, *values = keys + S::kRows, *ds = values + S::kRows;
  const int64_t pair = blockIdx.y, batch = pair / sizes.heads, group = pair % sizes.heads / (sizes.heads / sizes.groups);
  const int64_t key_pair = batch * sizes.groups + group, first = static_cast<int64_t>(gridDim.x - 1 - blockIdx.x) * S::kTile;
  const Sight sight = sight_of(mask, sizes, batch);
  load_rows<S>(b.q + pair * sizes.queries * sizes.dim, first, sizes.queries, sizes.dim, queries);
  load_rows<S>(b.dy + pair * sizes.queries * sizes.dim, first, sizes.queries, sizes.dim, errors);
  float dq[S::kEach][S::kOwn] = {}, scales[S::kEach];
  const int64_t end = mask.causal && first + S::kTile < sizes.keys ? first + S::kTile : sizes.keys;
  for (int64_t key_at = 0; key_at < end; key_at += S::kTile) {
    __syncthreads();
    load_rows<S>(b.k + key_pair * sizes.keys * sizes.dim, key_at, sizes.keys, sizes.dim, keys);
    load_rows<S>(b.v + key_pair * sizes.keys * sizes.dim, key_at, sizes.keys, sizes.dim, values);
    __syncthreads();
    gradient_of_scores<S>(queries, keys, errors, values, b.log_sum_exp + pair * sizes.queries, b.delta + pair * sizes.queries, sight, first, key_at, scale,
                          nullptr, ds);
    __syncthreads();
    add_weighted<S>(ds, S::kScorePitch, 1, keys, dq);
  }
#pragma unroll
  for (int r = 0; r < S::kEach; ++r) scales[r] = scale;
  store_rows<S>(b.dq + pair * sizes.queries * sizes.dim, first, sizes.queries, sizes.dim, dq, scales);
}

/// Keys or queries that a block on the matrix units takes at a time beside its own 64.
constexpr int kStep = 32, kStepTiles = kStep / 8;

/// As attention_key_gradient_kernel on the matrix units: a warp has 16 keys, and P and the gradient of the scores as (keys, queries) in registers.
template <class S, class T>
__global__ void __launch_bounds__(units::kThreads)
    attention_key_gradient_units_kernel(Buffers<T> b, AttentionMask mask, AttentionSizes sizes, float scale, bool is_packed) {
  auto* keys = cuda::dynamic_shared<T>();
  T *values = keys + units::kRows * S::kPitch, *stages = values + units::kRows * S::kPitch;
  __shared__ float log_sums[2][kStep], deltas[2][kStep];
  const int group_row = static_cast<int>(threadIdx.x) % cuda::kWarp / 4, place = static_cast<int>(threadIdx.x) % 4;
  const int warp_row = static_cast<int>(threadIdx.x) / cuda::kWarp * units::kWarpRows;
  const int64_t pair = blockIdx.y, batch = pair / sizes.groups, group = pair % sizes.groups, heads = sizes.heads / sizes.groups;
  const int64_t first = static_cast<int64_t>(blockIdx.x) * units::kRows, own_row = first + warp_row + group_row;
  const Sight sight = sight_of(mask, sizes, batch);
  units::load_rows<S>(b.k + pair * sizes.keys * sizes.dim, first, units::kRows, sizes.keys, sizes.dim, is_packed, keys);
  units::load_rows<S>(b.v + pair * sizes.keys * sizes.dim, first, units::kRows, sizes.keys, sizes.dim, is_packed, values);
  float dk[S::kColumns][4] = {}, dv[S::kColumns][4] = {};
  const float factor = scale * units::kLog2E;
  // Tiles of queries one after the other, over the heads; a tile is loaded while the one before it is worked on.
  const int64_t start = mask.causal ? first : 0, tiles = sizes.queries > start ? (sizes.queries - start + kStep - 1) / kStep : 0;
  const auto load = [&](int64_t number, int stage) {
    if (number < heads * tiles) {
      const int64_t head = batch * sizes.heads + group * heads + number / tiles, query_at = start + number % tiles * kStep;
      T* to = stages + stage * 2 * kStep * S::kPitch;
      units::load_rows<S>(b.q + head * sizes.queries * sizes.dim, query_at, kStep, sizes.queries, sizes.dim, is_packed, to);
      units::load_rows<S>(b.dy + head * sizes.queries * sizes.dim, query_at, kStep, sizes.queries, sizes.dim, is_packed, to + kStep * S::kPitch);
      if (threadIdx.x < kStep) {
        const int64_t query = query_at + threadIdx.x;
        log_sums[stage][threadIdx.x] = query < sizes.queries ? b.log_sum_exp[head * sizes.queries + query] * units::kLog2E : 0.0f;
        deltas[stage][threadIdx.x] = query < sizes.queries ? b.delta[head * sizes.queries + query] : 0.0f;
      }
    }
    cuda::commit_copies();
  };
  load(0, 0);
  for (int64_t number = 0; number < heads * tiles; ++number) {
    const int stage = static_cast<int>(number % 2);
    const T *queries = stages + stage * 2 * kStep * S::kPitch, *errors = queries + kStep * S::kPitch;
    const int64_t query_at = start + number % tiles * kStep;
    cuda::wait_for_copies<0>();
    __syncthreads();
    load(number + 1, 1 - stage);
    float p[kStepTiles][4], ds[kStepTiles][4];
    units::multiply_rows<S, kStepTiles>(keys, warp_row, queries, p);
    units::multiply_rows<S, kStepTiles>(values, warp_row, errors, ds);
    const bool sees_all = units::sees_all(sight, query_at, kStep, first, units::kRows);
#pragma unroll
    for (int t = 0; t < kStepTiles; ++t) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int column = t * 8 + place * 2 + i % 2;
        const bool sees = sees_all || sight.sees(query_at + column, own_row + i / 2 * 8);
        p[t][i] = sees ? cuda::exp2_of(p[t][i] * factor - log_sums[stage][column]) : 0.0f;
        ds[t][i] = sees ? p[t][i] * (ds[t][i] - deltas[stage][column]) : 0.0f;
      }
    }
    units::add_weighted<S, kStepTiles>(p, errors, dv);
    units::add_weighted<S, kStepTiles>(ds, queries, dk);
  }
  const float ones[2] = {1.0f, 1.0f}, scales[2] = {scale, scale};
  const int64_t at = pair * sizes.keys * sizes.dim;
  if (b.dv != nullptr) units::store_rows<S>(b.dv + at, first + warp_row, sizes.keys, sizes.dim, dv, ones);
  if (b.dk != nullptr) units::store_rows<S>(b.dk + at, first + warp_row, sizes.keys, sizes.dim, dk, scales);
}

/// As attention_query_gradient_kernel on the matrix units: a warp has 16 queries.
template <class S, class T>
__global__ void __launch_bounds__(units::kThreads)
    attention_query_gradient_units_kernel(Buffers<T> b, AttentionMask mask, AttentionSizes sizes, float scale, bool is_packed) {
  auto* queries = cuda::dynamic_shared<T>();
  T *errors = queries + units::kRows * S::kPitch, *stages = errors + units::kRows * S::kPitch;
  const int group_row = static_cast<int>(threadIdx.x) % cuda::kWarp / 4, place = static_cast<int>(threadIdx.x) % 4;
  const int warp_row = static_cast<int>(threadIdx.x) / cuda::kWarp * units::kWarpRows;
  const int64_t pair = blockIdx.y, batch = pair / sizes.heads, key_pair = batch * sizes.groups + pair % sizes.heads / (sizes.heads / sizes.groups);
  const int64_t first = static_cast<int64_t>(gridDim.x - 1 - blockIdx.x) * units::kRows, own_row = first + warp_row + group_row;
  const Sight sight = sight_of(mask, sizes, batch);
  units::load_rows<S>(b.q + pair * sizes.queries * sizes.dim, first, units::kRows, sizes.queries, sizes.dim, is_packed, queries);
  units::load_rows<S>(b.dy + pair * sizes.queries * sizes.dim, first, units::kRows, sizes.queries, sizes.dim, is_packed, errors);
  float log_sums[2], deltas[2], dq[S::kColumns][4] = {};
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    const int64_t row = own_row + r * 8;
    log_sums[r] = row < sizes.queries ? b.log_sum_exp[pair * sizes.queries + row] * units::kLog2E : 0.0f;
    deltas[r] = row < sizes.queries ? b.delta[pair * sizes.queries + row] : 0.0f;
  }
  const float factor = scale * units::kLog2E;
  const int64_t end = mask.causal && first + units::kRows < sizes.keys ? first + units::kRows : sizes.keys;
  const auto load = [&](int64_t key_at, int stage) {
    if (key_at < end) {
      T* to = stages + stage * 2 * kStep * S::kPitch;
      units::load_rows<S>(b.k + key_pair * sizes.keys * sizes.dim, key_at, kStep, sizes.keys, sizes.dim, is_packed, to);
      units::load_rows<S>(b.v + key_pair * sizes.keys * sizes.dim, key_at, kStep, sizes.keys, sizes.dim, is_packed, to + kStep * S::kPitch);
    }
    cuda::commit_copies();
  };
  load(0, 0);
  for (int64_t key_at = 0; key_at < end; key_at += kStep) {
    const int stage = static_cast<int>(key_at / kStep % 2);
    const T *keys = stages + stage * 2 * kStep * S::kPitch, *values = keys + kStep * S::kPitch;
    cuda::wait_for_copies<0>();
    __syncthreads();
    load(key_at + kStep, 1 - stage);
    float p[kStepTiles][4], ds[kStepTiles][4];
    units::multiply_rows<S, kStepTiles>(queries, warp_row, keys, p);
    units::multiply_rows<S, kStepTiles>(errors, warp_row, values, ds);
    const bool sees_all = units::sees_all(sight, first, units::kRows, key_at, kStep);
#pragma unroll
    for (int t = 0; t < kStepTiles; ++t) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const bool sees = sees_all || sight.sees(own_row + i / 2 * 8, key_at + t * 8 + place * 2 + i % 2);
        ds[t][i] = sees ? cuda::exp2_of(p[t][i] * factor - log_sums[i / 2]) * (ds[t][i] - deltas[i / 2]) : 0.0f;
      }
    }
    units::add_weighted<S, kStepTiles>(ds, keys, dq);
  }
  const float scales[2] = {scale, scale};
  units::store_rows<S>(b.dq + pair * sizes.queries * sizes.dim, first + warp_row, sizes.queries, sizes.dim, dq, scales);
}

template <class S, class T>
Status run_units(const Buffers<T>& b, const AttentionMask& mask, const AttentionSizes& sizes, float scale, cudaStream_t stream) {
  constexpr int kBytes = (2 * units::kRows + 4 * kStep) * S::kPitch * static_cast<int>(sizeof(T));
  const bool is_packed =
      sizes.dim % 8 == 0 && cuda::is_aligned(b.q, 16) && cuda::is_aligned(b.k, 16) && cuda::is_aligned(b.v, 16) && cuda::is_aligned(b.dy, 16);
  if (b.dk != nullptr || b.dv != nullptr) {
    HALO_CUDA_RETURN_IF_ERROR(cudaFuncSetAttribute(attention_key_gradient_units_kernel<S, T>, cudaFuncAttributeMaxDynamicSharedMemorySize, kBytes));
    const dim3 grid(cuda::grid_for(sizes.keys, units::kRows), static_cast<unsigned>(sizes.batch * sizes.groups));
    HALO_RETURN_IF_ERROR(cuda::launch(attention_key_gradient_units_kernel<S, T>, grid, units::kThreads, kBytes, stream, b, mask, sizes, scale, is_packed));
  }
  if (b.dq == nullptr) return {};
  HALO_CUDA_RETURN_IF_ERROR(cudaFuncSetAttribute(attention_query_gradient_units_kernel<S, T>, cudaFuncAttributeMaxDynamicSharedMemorySize, kBytes));
  const dim3 grid(cuda::grid_for(sizes.queries, units::kRows), static_cast<unsigned>(sizes.batch * sizes.heads));
  return cuda::launch(attention_query_gradient_units_kernel<S, T>, grid, units::kThreads, kBytes, stream, b, mask, sizes, scale, is_packed);
}

template <class S, class T>
Status run(const Buffers<T>& b, const AttentionMask& mask, const AttentionSizes& sizes, float scale, cudaStream_t stream) {
  constexpr int kKeyBytes = (4 * S::kRows + 2 * S::kScores) * static_cast<int>(sizeof(float)),
                kQueryBytes = kKeyBytes - S::kScores * static_cast<int>(sizeof(float));
  if (b.dk != nullptr || b.dv != nullptr) {
    HALO_CUDA_RETURN_IF_ERROR(cudaFuncSetAttribute(attention_key_gradient_kernel<S, T>, cudaFuncAttributeMaxDynamicSharedMemorySize, kKeyBytes));
    const dim3 grid(cuda::grid_for(sizes.keys, S::kTile), static_cast<unsigned>(sizes.batch * sizes.groups));
    HALO_RETURN_IF_ERROR(cuda::launch(attention_key_gradient_kernel<S, T>, grid, kThreads, kKeyBytes, stream, b, mask, sizes, scale));
  }
  if (b.dq == nullptr) return {};
  HALO_CUDA_RETURN_IF_ERROR(cudaFuncSetAttribute(attention_query_gradient_kernel<S, T>, cudaFuncAttributeMaxDynamicSharedMemorySize, kQueryBytes));
  const dim3 grid(cuda::grid_for(sizes.queries, S::kTile), static_cast<unsigned>(sizes.batch * sizes.heads));
  return cuda::launch(attention_query_gradient_kernel<S, T>, grid, kThreads, kQueryBytes, stream, b, mask, sizes, scale);
}

}  // namespace

int64_t attention_grad_workspace_cuda(const AttentionSizes& sizes) { return sizes.batch * sizes.heads * sizes.queries * static_cast<int64_t>(sizeof(float)); }

Status attention_grad_cuda(DType type, const AttentionGradBuffers& buffers, const AttentionMask& mask, const AttentionSizes& sizes, float scale,
                           void* workspace, cudaStream_t stream) {
  const int64_t rows = sizes.batch * sizes.heads * sizes.queries;
  HALO_REQUIRE(sizes.batch * sizes.heads <= cuda::kMostBlocksYZ, "at most " << cuda::kMostBlocksYZ << " batch rows times heads", sizes.batch * sizes.heads,
               "Take a smaller batch.");
  return cuda::dispatch_float(type, [&]<class T>() {
    auto* delta = static_cast<float*>(workspace);
    const auto *dy = static_cast<const T*>(buffers.dy), *y = static_cast<const T*>(buffers.y);
    HALO_RETURN_IF_ERROR(
        cuda::launch(attention_delta_kernel<T>, cuda::grid_for(rows, kThreads / cuda::kWarp), kThreads, 0, stream, dy, y, delta, rows, sizes.dim));
    const Buffers<T> b{dy,    static_cast<const T*>(buffers.q), static_cast<const T*>(buffers.k), static_cast<const T*>(buffers.v), y, buffers.log_sum_exp,
                       delta, static_cast<T*>(buffers.dq),      static_cast<T*>(buffers.dk),      static_cast<T*>(buffers.dv)};
    if constexpr (!std::is_same_v<T, float>) {
      if (sizes.dim >= 1 && sizes.dim <= units::kMostDim) {
        return units::dispatch_dim(sizes.dim, [&]<class S>() { return run_units<S, T>(b, mask, sizes, scale, stream); });
      }
    }
    return dispatch_dim(sizes.dim, [&]<class S>() { return run<S, T>(b, mask, sizes, scale, stream); });
  });
}

}  // namespace halo
