#include "ops/attention/attention_units.cuh"
#include "ops/attention_grad/attention_grad_launch.cuh"

namespace halo {

namespace {

using namespace attention_tiles;

namespace units = attention_units;

/// Keys or queries that a block on the matrix units takes at a time beside its own 64.
constexpr int kStep = 32, kStepTiles = kStep / 8;

/// As attention_key_gradient_kernel on the matrix units: a warp has 16 keys, and P and the gradient of the scores as (keys, queries) in registers.
template <class S, class T, bool has_masks>
__global__ void __launch_bounds__(units::kThreads) attention_key_gradient_units_kernel(AttentionGradTensors<T> b, AttentionMask mask, AttentionSizes sizes) {
  auto* keys = cuda::dynamic_shared<T>();
  T *values = keys + units::kRows * S::kPitch, *stages = values + units::kRows * S::kPitch;
  __shared__ float log_sums[2][kStep], deltas[2][kStep];
  const int lane_row = static_cast<int>(threadIdx.x) % cuda::kWarp / 4, quad_lane = static_cast<int>(threadIdx.x) % 4;
  const int warp_row = static_cast<int>(threadIdx.x) / cuda::kWarp * units::kWarpRows;
  const int64_t pair = blockIdx.y, batch = pair / sizes.groups, group = pair % sizes.groups, heads = sizes.heads / sizes.groups;
  const int64_t first = static_cast<int64_t>(blockIdx.x) * units::kRows, thread_row = first + warp_row + lane_row;
  if (is_left_out(b.only_rows, batch)) return;
  const KeyVisibility visibility = visibility_of<has_masks>(mask, sizes, batch);
  const int64_t query_pitch = b.strides.query.token, key_pitch = b.strides.key.token, key_offset = offset_of(b.strides.key, batch, group);
  units::load_rows<S>(b.k + key_offset, key_pitch, first, units::kRows, sizes.keys, sizes.dim, b.is_packed, keys);
  units::load_rows<S>(b.v + key_offset, key_pitch, first, units::kRows, sizes.keys, sizes.dim, b.is_packed, values);
  float dk[S::kColumns][4] = {}, dv[S::kColumns][4] = {};
  const float factor = b.scale * units::kLog2E;
  const DocumentRange documents = range_of(visibility.documents, first, units::kRows, sizes.keys);
  const Overlap shown = overlap_of(nullptr, visibility.mask, {}, first, units::kRows, sizes.keys);
  Overlap overlap;
  // Tiles of queries one after the other, over the heads; a tile is loaded while the one before it is worked on.
  const int64_t start = mask.causal ? first : 0, query_end = query_end_of(mask, first, units::kRows, sizes.queries);
  const int64_t tiles = query_end > start ? (query_end - start + kStep - 1) / kStep : 0;
  const int64_t end = shown.any ? heads * tiles : 0;
  // The first tile from `number` on that may see any key of the block, or `end`.
  const auto next_seeing = [&](int64_t number) {
    for (; number < end; ++number) {
      overlap = overlap_of(visibility.documents, nullptr, documents, start + number % tiles * kStep, kStep, sizes.queries);
      if (overlap.any) break;
    }
    return number;
  };
  const auto load = [&](int64_t number, int stage) {
    if (number < end) {
      const int64_t head = group * heads + number / tiles, query_at = start + number % tiles * kStep;
      const int64_t query_offset = offset_of(b.strides.query, batch, head);
      T* to = stages + stage * 2 * kStep * S::kPitch;
      units::load_rows<S>(b.q + query_offset, query_pitch, query_at, kStep, sizes.queries, sizes.dim, b.is_packed, to);
      units::load_rows<S>(b.dy + query_offset, query_pitch, query_at, kStep, sizes.queries, sizes.dim, b.is_packed, to + kStep * S::kPitch);
      if (threadIdx.x < kStep) {
        const int64_t query = query_at + threadIdx.x, row = (batch * sizes.heads + head) * sizes.queries + query;
        log_sums[stage][threadIdx.x] = query < sizes.queries ? b.log_sum_exp[row] * units::kLog2E : 0.0f;
        deltas[stage][threadIdx.x] = query < sizes.queries ? b.delta[row] : 0.0f;
      }
    }
    cuda::commit_copies();
  };
  int stage = 0;
  int64_t number = next_seeing(0);
  load(number, stage);
  while (number < end) {
    const T *queries = stages + stage * 2 * kStep * S::kPitch, *errors = queries + kStep * S::kPitch;
    const int64_t query_at = start + number % tiles * kStep;
    cuda::wait_for_copies<0>();
    __syncthreads();
    const bool sees_all = overlap.all && shown.all && units::is_whole(visibility, query_at, kStep, first, units::kRows);
    number = next_seeing(number + 1);
    load(number, 1 - stage);
    float p[kStepTiles][4], ds[kStepTiles][4];
    units::multiply_rows<S, kStepTiles>(keys, warp_row, queries, p);
    units::multiply_rows<S, kStepTiles>(values, warp_row, errors, ds);
#pragma unroll
    for (int t = 0; t < kStepTiles; ++t) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int column = t * 8 + quad_lane * 2 + i % 2;
        const bool sees = sees_all || visibility.sees(query_at + column, thread_row + i / 2 * 8);
        p[t][i] = sees ? cuda::exp2_of(p[t][i] * factor - log_sums[stage][column]) : 0.0f;
        ds[t][i] = sees ? p[t][i] * (ds[t][i] - deltas[stage][column]) : 0.0f;
      }
    }
    units::add_weighted<S, kStepTiles>(p, errors, dv);
    units::add_weighted<S, kStepTiles>(ds, queries, dk);
    stage = 1 - stage;
  }
  const float ones[2] = {1.0f, 1.0f}, scales[2] = {b.scale, b.scale};
  if (b.dv != nullptr) units::store_rows<S>(b.dv + key_offset, key_pitch, first + warp_row, sizes.keys, sizes.dim, dv, ones);
  if (b.dk != nullptr) units::store_rows<S>(b.dk + key_offset, key_pitch, first + warp_row, sizes.keys, sizes.dim, dk, scales);
}

/// As attention_query_gradient_kernel on the matrix units: a warp has 16 queries.
template <class S, class T, bool has_masks>
__global__ void __launch_bounds__(units::kThreads) attention_query_gradient_units_kernel(AttentionGradTensors<T> b, AttentionMask mask, AttentionSizes sizes) {
  auto* queries = cuda::dynamic_shared<T>();
  T *errors = queries + units::kRows * S::kPitch, *stages = errors + units::kRows * S::kPitch;
  const int lane_row = static_cast<int>(threadIdx.x) % cuda::kWarp / 4, quad_lane = static_cast<int>(threadIdx.x) % 4;
  const int warp_row = static_cast<int>(threadIdx.x) / cuda::kWarp * units::kWarpRows;
  const int64_t pair = blockIdx.y, batch = pair / sizes.heads, head = pair % sizes.heads, group = head / (sizes.heads / sizes.groups);
  const int64_t first = static_cast<int64_t>(gridDim.x - 1 - blockIdx.x) * units::kRows, thread_row = first + warp_row + lane_row;
  if (is_left_out(b.only_rows, batch)) return;
  const KeyVisibility visibility = visibility_of<has_masks>(mask, sizes, batch);
  const int64_t query_pitch = b.strides.query.token, key_pitch = b.strides.key.token;
  const int64_t query_offset = offset_of(b.strides.query, batch, head), key_offset = offset_of(b.strides.key, batch, group);
  units::load_rows<S>(b.q + query_offset, query_pitch, first, units::kRows, sizes.queries, sizes.dim, b.is_packed, queries);
  units::load_rows<S>(b.dy + query_offset, query_pitch, first, units::kRows, sizes.queries, sizes.dim, b.is_packed, errors);
  float log_sums[2], deltas[2], dq[S::kColumns][4] = {};
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    const int64_t row = thread_row + r * 8;
    log_sums[r] = row < sizes.queries ? b.log_sum_exp[pair * sizes.queries + row] * units::kLog2E : 0.0f;
    deltas[r] = row < sizes.queries ? b.delta[pair * sizes.queries + row] : 0.0f;
  }
  const float factor = b.scale * units::kLog2E;
  const int64_t end = mask.causal && first + units::kRows < sizes.keys ? first + units::kRows : sizes.keys;
  const auto load = [&](int64_t key_at, int stage) {
    if (key_at < end) {
      T* to = stages + stage * 2 * kStep * S::kPitch;
      units::load_rows<S>(b.k + key_offset, key_pitch, key_at, kStep, sizes.keys, sizes.dim, b.is_packed, to);
      units::load_rows<S>(b.v + key_offset, key_pitch, key_at, kStep, sizes.keys, sizes.dim, b.is_packed, to + kStep * S::kPitch);
    }
    cuda::commit_copies();
  };
  const DocumentRange documents = range_of(visibility.documents, first, units::kRows, sizes.queries);
  Overlap overlap;
  // The first tile of keys from `at` on that any query of the block may see, or what lies behind the last.
  const auto next_seen = [&](int64_t at) {
    for (; at < end; at += kStep) {
      overlap = overlap_of(visibility.documents, visibility.mask, documents, at, kStep, sizes.keys);
      if (overlap.any) break;
    }
    return at;
  };
  int stage = 0;
  int64_t key_at = next_seen(first_key_of(mask, first, kStep));
  load(key_at, stage);
  while (key_at < end) {
    const T *keys = stages + stage * 2 * kStep * S::kPitch, *values = keys + kStep * S::kPitch;
    cuda::wait_for_copies<0>();
    __syncthreads();
    const bool sees_all = overlap.all && units::is_whole(visibility, first, units::kRows, key_at, kStep);
    const int64_t after = next_seen(key_at + kStep);
    load(after, 1 - stage);
    float p[kStepTiles][4], ds[kStepTiles][4];
    units::multiply_rows<S, kStepTiles>(queries, warp_row, keys, p);
    units::multiply_rows<S, kStepTiles>(errors, warp_row, values, ds);
#pragma unroll
    for (int t = 0; t < kStepTiles; ++t) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const bool sees = sees_all || visibility.sees(thread_row + i / 2 * 8, key_at + t * 8 + quad_lane * 2 + i % 2);
        ds[t][i] = sees ? cuda::exp2_of(p[t][i] * factor - log_sums[i / 2]) * (ds[t][i] - deltas[i / 2]) : 0.0f;
      }
    }
    units::add_weighted<S, kStepTiles>(ds, keys, dq);
    key_at = after;
    stage = 1 - stage;
  }
  const float scales[2] = {b.scale, b.scale};
  units::store_rows<S>(b.dq + query_offset, query_pitch, first + warp_row, sizes.queries, sizes.dim, dq, scales);
}

}  // namespace

template <class T>
Status attention_grad_units(const AttentionGradTensors<T>& b, const AttentionMask& mask, const AttentionSizes& sizes, cudaStream_t stream) {
  const auto run = [&]<class S, bool has_masks>() {
    constexpr int kBytes = (2 * units::kRows + 4 * kStep) * S::kPitch * static_cast<int>(sizeof(T));
    return launch_gradients<T>({attention_key_gradient_units_kernel<S, T, has_masks>, units::kThreads, units::kRows, kBytes},
                               {attention_query_gradient_units_kernel<S, T, has_masks>, units::kThreads, units::kRows, kBytes}, b, mask, sizes, stream);
  };
  return units::dispatch_dim(sizes.dim, [&]<class S>() {
    const bool has_masks = mask.mask != nullptr || mask.documents != nullptr;
    return has_masks ? run.template operator()<S, true>() : run.template operator()<S, false>();
  });
}

template Status attention_grad_units(const AttentionGradTensors<BFloat16>&, const AttentionMask&, const AttentionSizes&, cudaStream_t);
template Status attention_grad_units(const AttentionGradTensors<Float16>&, const AttentionMask&, const AttentionSizes&, cudaStream_t);

}  // namespace halo
