#include "provider/kernels/cached_attention.h"

#include <algorithm>

#include "provider/kernels/dependent_launch.cuh"
#include "provider/kernels/words.cuh"

namespace halo::cuda {

namespace {

constexpr int kThreads = 128, kWarps = kThreads / kWarp;

/// Queries that a thread has sums of at a time, and tokens that it has in flight.
constexpr int kRows = 8, kAhead = 4;

/// Pieces that a thread has in flight when they are joined.
constexpr int kJoined = 8;

/// Packs of a token that a lane has at most: heads of 256 channels of float32 are two for each of 32 lanes.
constexpr int kMostPacks = 2;

/// Tokens of a piece of the cache: few, so that a short cache has work for several blocks, and more where there would be many pieces to join.
constexpr int64_t kLeastSpan = 64, kMostSpan = 256, kWantedPieces = 64;

int64_t span_of(const CachedSizes& sizes) { return std::clamp(ceil_div(ceil_div(sizes.slots, kWantedPieces), kLeastSpan) * kLeastSpan, kLeastSpan, kMostSpan); }

int64_t pieces_of(const CachedSizes& sizes) { return ceil_div(sizes.slots, span_of(sizes)); }

/// Weights of a piece, and sums of values that each warp has.
int64_t shared_bytes(const CachedSizes& sizes) {
  const int64_t rows = sizes.heads / sizes.groups;
  return (rows * span_of(sizes) + kWarps * kRows * sizes.dim) * static_cast<int64_t>(sizeof(float));
}

/// Tokens of a row that its new token sees: [start, end), and the pieces that have some of them.
struct Seen {
  int64_t start, end;

  __device__ Seen(int32_t seqlen, int64_t window, int64_t slots) : end(seqlen + int64_t{1} < slots ? seqlen + int64_t{1} : slots) {
    start = window > 0 && end > window ? end - window : 0;
  }
};

/// A thread has a pair of channels that turn, or one that does not, of a head of q, k or v.
template <class T>
__global__ void __launch_bounds__(kThreads) append_token_kernel(const T* q, const T* k, const T* v, int64_t q_row, int64_t k_row, T* turned_q, T* keys,
                                                                T* values, const int32_t* seqlens_k, Rotation rotation, CachedSizes sizes, int64_t count) {
  const int64_t at = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  let_next_start();
  wait_for_inputs();
  if (at >= count) return;
  const int64_t channel = at % sizes.dim, all = sizes.heads + 2 * sizes.groups, head = at / sizes.dim % all, batch = at / sizes.dim / all;
  const int64_t slot = seqlens_k[batch];
  const bool is_query = head < sizes.heads, is_value = head >= sizes.heads + sizes.groups;
  if (!is_query && (slot < 0 || slot >= sizes.slots)) return;
  const int64_t own = is_query ? head : (head - sizes.heads) % sizes.groups;
  const T* in = (is_query ? q + batch * q_row : (is_value ? v : k) + batch * k_row) + own * sizes.dim;
  T* out = is_query ? turned_q + (batch * sizes.heads + own) * sizes.dim
                    : (is_value ? values : keys) + ((batch * sizes.groups + own) * sizes.slots + slot) * sizes.dim;
  const int64_t half = is_value ? 0 : rotation.turned / 2;
  if (channel >= half) {
    if (channel + half < sizes.dim) out[channel + half] = in[channel + half];
    return;
  }
  const int64_t position = rotation.positions == nullptr ? slot : rotation.positions[batch];
  const bool is_inside = position >= 0 && position < rotation.rows;
  const float c = is_inside ? to_float(static_cast<const T*>(rotation.cos)[position * half + channel]) : std::numeric_limits<float>::quiet_NaN();
  const float s = is_inside ? to_float(static_cast<const T*>(rotation.sin)[position * half + channel]) : c;
  const int64_t first = rotation.is_interleaved ? 2 * channel : channel, second = rotation.is_interleaved ? first + 1 : channel + half;
  const float a = to_float(in[first]), b = to_float(in[second]);
  out[first] = from_float<T>(a * c - b * s);
  out[second] = from_float<T>(b * c + a * s);
}

/// What a block leaves of a piece for each query: the largest score, the sum of weights, the weighted sum of values.
struct Piece {
  float *most, *sum, *values;  // (pairs, pieces, H / G), and D channels each

  __device__ Piece(float* work, const CachedSizes& sizes, int64_t pieces) {
    const int64_t count = sizes.batch * sizes.heads * pieces;
    most = work, sum = work + count, values = work + 2 * count;
  }
};

/// A block has a piece of one key/value head's cache and all queries that read it, a group of lanes a token, a lane `packs` packs of 16 bytes of it: keys and
/// values are read in whole rows, kAhead tokens of a lane at once, so that a piece costs a few waits for memory. Queries and sums stay in registers.
template <class T, int packs>
__global__ void __launch_bounds__(kThreads)
    attend_piece_kernel(const T* q, const T* keys, const T* values, const int32_t* seqlens_k, int64_t window, CachedSizes sizes, float scale, int64_t span,
                        int64_t pieces, int lanes, bool is_packed, float* work) {
  constexpr int kWidth = kRowWidth<T>;
  const int64_t pair = blockIdx.y, batch = pair / sizes.groups, piece = blockIdx.x;
  const int rows = static_cast<int>(sizes.heads / sizes.groups), dim = static_cast<int>(sizes.dim);
  let_next_start();
  wait_for_inputs();
  const Seen seen(seqlens_k[batch], window, sizes.slots);
  const int64_t start = piece * span > seen.start ? piece * span : seen.start, end = (piece + 1) * span < seen.end ? (piece + 1) * span : seen.end;
  if (start >= end) return;
  const int tokens = static_cast<int>(end - start), thread = static_cast<int>(threadIdx.x), lane = thread % kWarp, warp = thread / kWarp;
  const int part = thread % lanes, group = thread / lanes, groups = kThreads / lanes;  // of a token, and which tokens: group, group + groups, ..
  auto* weights = dynamic_shared<float>();
  float* partial = weights + rows * span;  // (kWarps, kRows, D)
  const auto channel_of = [&](int p) { return (p * lanes + part) * kWidth; };
  const auto load = [&](const T* from, int token, Words<T>* to) {
#pragma unroll
    for (int p = 0; p < packs; ++p) {
      const int length = token < tokens ? dim - channel_of(p) : 0;
      if (length > 0) to[p].load(from + (pair * sizes.slots + start + token) * dim + channel_of(p), is_packed, length);
    }
  };

  for (int first = 0; first < rows; first += kRows) {
    float queries[kRows][packs * kWidth];
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
#pragma unroll
      for (int p = 0; p < packs; ++p) {
#pragma unroll
        for (int i = 0; i < kWidth; ++i) {
          const bool is_there = first + r < rows && channel_of(p) + i < dim;
          queries[r][p * kWidth + i] = is_there ? to_float(q[(pair * rows + first + r) * dim + channel_of(p) + i]) * scale : 0.0f;
        }
      }
    }
    for (int base = 0; base < tokens; base += kAhead * groups) {
      Words<T> key[kAhead][packs];
#pragma unroll
      for (int n = 0; n < kAhead; ++n) load(keys, base + n * groups + group, key[n]);
#pragma unroll
      for (int n = 0; n < kAhead; ++n) {
        const int token = base + n * groups + group;
#pragma unroll
        for (int r = 0; r < kRows; ++r) {
          if (first + r >= rows) break;
          float score = 0;
#pragma unroll
          for (int i = 0; i < packs * kWidth; ++i) score += queries[r][i] * key[n][i / kWidth].number(i % kWidth);
          for (int mask = lanes / 2; mask > 0; mask /= 2) score += __shfl_xor_sync(kAllLanes, score, mask);
          if (part == 0 && token < tokens) weights[(first + r) * span + token] = score;
        }
      }
    }
  }
  __syncthreads();
  const Piece to(work, sizes, pieces);
  const int64_t first_out = (pair * pieces + piece) * rows;
  for (int row = warp; row < rows; row += kWarps) {
    float most = -std::numeric_limits<float>::infinity(), sum = 0;
    for (int token = lane; token < tokens; token += kWarp) most = MaxOf()(most, weights[row * span + token]);
    most = over_warp(MaxOf(), most);
    for (int token = lane; token < tokens; token += kWarp) sum += weights[row * span + token] = expf(weights[row * span + token] - most);
    sum = over_warp(SumOf(), sum);
    if (lane == 0) to.most[first_out + row] = most, to.sum[first_out + row] = sum;
  }
  __syncthreads();
  for (int first = 0; first < rows; first += kRows) {
    float sums[kRows][packs * kWidth] = {};
    for (int base = 0; base < tokens; base += kAhead * groups) {
      Words<T> value[kAhead][packs];
#pragma unroll
      for (int n = 0; n < kAhead; ++n) load(values, base + n * groups + group, value[n]);
#pragma unroll
      for (int n = 0; n < kAhead; ++n) {
        const int token = base + n * groups + group;
        if (token >= tokens) break;
#pragma unroll
        for (int r = 0; r < kRows; ++r) {
          if (first + r >= rows) break;
          const float weight = weights[(first + r) * span + token];
#pragma unroll
          for (int i = 0; i < packs * kWidth; ++i) sums[r][i] += weight * value[n][i / kWidth].number(i % kWidth);
        }
      }
    }
    // Groups of a warp, then warps, in order.
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      if (first + r >= rows) break;
#pragma unroll
      for (int i = 0; i < packs * kWidth; ++i) {
        float sum = sums[r][i];
        for (int mask = lanes; mask < kWarp; mask *= 2) sum += __shfl_xor_sync(kAllLanes, sum, mask);
        const int channel = channel_of(i / kWidth) + i % kWidth;
        if (lane < lanes && channel < dim) partial[(warp * kRows + r) * dim + channel] = sum;
      }
    }
    __syncthreads();
    for (int i = thread; i < kRows * dim && first * dim + i < rows * dim; i += kThreads) {
      float sum = 0;
      for (int w = 0; w < kWarps; ++w) sum += partial[w * kRows * dim + i];
      to.values[(first_out + first) * dim + i] = sum;
    }
    __syncthreads();
  }
}

/// Packs of 16 bytes in a row of a head.
template <class T>
int64_t packs_of(const CachedSizes& sizes) {
  return ceil_div(sizes.dim, kRowWidth<T>);
}

/// Lanes that share a token: as many as it has packs, a power of two, so that they stand in one warp.
template <class T>
int lanes_of(const CachedSizes& sizes) {
  int lanes = 1;
  while (lanes < kWarp && lanes < packs_of<T>(sizes)) lanes *= 2;
  return lanes;
}

/// A block has a query: the pieces of its row put together in order. A thread has pieces for their factors, then channels; values of kJoined pieces are in
/// flight at once.
template <class T>
__global__ void __launch_bounds__(kThreads)
    join_pieces_kernel(const int32_t* seqlens_k, int64_t window, T* y, CachedSizes sizes, int64_t span, int64_t pieces, float* work) {
  __shared__ float scratch[kWarp];
  const int64_t head = blockIdx.x, rows = sizes.heads / sizes.groups, pair = head / rows, row = head % rows;
  let_next_start();
  wait_for_inputs();
  const Seen seen(seqlens_k[pair / sizes.groups], window, sizes.slots);
  const Piece from(work, sizes, pieces);
  const int64_t first = seen.start / span, count = (seen.end - 1) / span + 1 - first;
  const auto place_of = [&](int64_t piece) { return (pair * pieces + first + piece) * rows + row; };
  auto* factors = dynamic_shared<float>();
  float most = -std::numeric_limits<float>::infinity(), sum = 0;
  for (int64_t piece = threadIdx.x; piece < count; piece += kThreads) most = MaxOf()(most, from.most[place_of(piece)]);
  most = over_block(MaxOf(), most, -std::numeric_limits<float>::infinity(), scratch);
  for (int64_t piece = threadIdx.x; piece < count; piece += kThreads) {
    factors[piece] = expf(from.most[place_of(piece)] - most);
    sum += from.sum[place_of(piece)] * factors[piece];
  }
  sum = over_block(SumOf(), sum, 0.0f, scratch);  // and all factors are there
  for (int64_t channel = threadIdx.x; channel < sizes.dim; channel += kThreads) {
    float total = 0;
    for (int64_t base = 0; base < count; base += kJoined) {
      float parts[kJoined];
#pragma unroll
      for (int n = 0; n < kJoined; ++n) parts[n] = base + n < count ? from.values[place_of(base + n) * sizes.dim + channel] * factors[base + n] : 0.0f;
#pragma unroll
      for (int n = 0; n < kJoined; ++n) total += parts[n];
    }
    y[head * sizes.dim + channel] = from_float<T>(total / sum);
  }
}

}  // namespace

Status append_token(DType type, const NewToken& token, const int32_t* seqlens_k, const Rotation& rotation, const CachedSizes& sizes, cudaStream_t stream) {
  HALO_REQUIRE(rotation.turned % 2 == 0 && rotation.turned <= sizes.dim, "an even number of turned channels, at most " << sizes.dim, rotation.turned,
               "Check rotary_embedding_dim.");
  const int64_t count = sizes.batch * (sizes.heads + 2 * sizes.groups) * sizes.dim;
  return dispatch_float(type, [&]<class T>() {
    return launch_dependent(append_token_kernel<T>, grid_for(count, kThreads), kThreads, 0, stream, static_cast<const T*>(token.q),
                            static_cast<const T*>(token.k), static_cast<const T*>(token.v), token.q_row, token.k_row, static_cast<T*>(token.turned_q),
                            static_cast<T*>(token.keys), static_cast<T*>(token.values), seqlens_k, rotation, sizes, count);
  });
}

int64_t attend_token_workspace(const CachedSizes& sizes) {
  return sizes.batch * sizes.heads * pieces_of(sizes) * (sizes.dim + 2) * static_cast<int64_t>(sizeof(float));
}

bool attend_token_supports(const CachedSizes& sizes) {
  return sizes.dim >= 1 && packs_of<float>(sizes) <= kMostPacks * kWarp && sizes.pairs() <= kMostBlocksYZ && shared_bytes(sizes) <= most_shared_bytes();
}

Status attend_token(DType type, const void* q, const void* keys, const void* values, const int32_t* seqlens_k, int64_t window, void* y,
                    const CachedSizes& sizes, float scale, void* workspace, cudaStream_t stream) {
  HALO_REQUIRE(attend_token_supports(sizes), "heads of up to 256 channels, and a piece's scores in " << most_shared_bytes() << " bytes of shared memory",
               sizes.heads / sizes.groups << " heads of " << sizes.dim << " channels a key/value head", "Use masked_attention.");
  if (sizes.batch * sizes.slots == 0) return {};
  const int64_t span = span_of(sizes), pieces = pieces_of(sizes), bytes = shared_bytes(sizes);
  return dispatch_float(type, [&]<class T>() -> Status {
    const bool is_packed = rows_are_packed<T>(sizes.dim, {keys, values});
    auto kernel = attend_piece_kernel<T, 1>;
    if constexpr (sizeof(T) == sizeof(float)) {
      if (packs_of<T>(sizes) > kWarp) kernel = attend_piece_kernel<T, kMostPacks>;
    }
    HALO_CUDA_RETURN_IF_ERROR(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(bytes)));
    HALO_RETURN_IF_ERROR(launch_dependent(kernel, dim3(static_cast<unsigned>(pieces), static_cast<unsigned>(sizes.pairs())), kThreads,
                                          static_cast<size_t>(bytes), stream, static_cast<const T*>(q), static_cast<const T*>(keys),
                                          static_cast<const T*>(values), seqlens_k, window, sizes, scale, span, pieces, lanes_of<T>(sizes), is_packed,
                                          static_cast<float*>(workspace)));
    return launch_dependent(join_pieces_kernel<T>, static_cast<unsigned>(sizes.batch * sizes.heads), kThreads, static_cast<size_t>(pieces) * sizeof(float),
                            stream, seqlens_k, window, static_cast<T*>(y), sizes, span, pieces, static_cast<float*>(workspace));
  });
}

}  // namespace halo::cuda
