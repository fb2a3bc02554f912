#include "provider/kernels/cached_attention.h"

#include <algorithm>

#include "provider/kernels/device.cuh"
#include "provider/kernels/words.cuh"

namespace halo::cuda {

namespace {

constexpr int kThreads = 128, kWarps = kThreads / kWarp;

/// Queries that a thread has sums of at a time.
constexpr int kRows = 8;

/// Tokens of a piece of the cache: few, so that a short cache has work for several blocks, and more where there would be many pieces to join.
constexpr int64_t kLeastSpan = 64, kMostSpan = 256, kWantedPieces = 64;

int64_t span_of(const CachedSizes& sizes) { return std::clamp(ceil_div(ceil_div(sizes.slots, kWantedPieces), kLeastSpan) * kLeastSpan, kLeastSpan, kMostSpan); }

int64_t pieces_of(const CachedSizes& sizes) { return ceil_div(sizes.slots, span_of(sizes)); }

/// Queries, weights of a piece, and sums of values that threads with the same channel have.
int64_t shared_bytes(const CachedSizes& sizes) {
  const int64_t rows = sizes.heads / sizes.groups, sets = kThreads / std::min<int64_t>(sizes.dim, kThreads);
  return (rows * sizes.dim + rows * span_of(sizes) + sets * kRows * sizes.dim) * static_cast<int64_t>(sizeof(float));
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

/// A block has a piece of one key/value head's cache and all queries that read it. A thread has a key at a time for scores, a channel for sums of values.
template <class T>
__global__ void __launch_bounds__(kThreads) attend_piece_kernel(const T* q, const T* keys, const T* values, const int32_t* seqlens_k, int64_t window,
                                                                CachedSizes sizes, float scale, int64_t span, int64_t pieces, bool is_packed, float* work) {
  const int64_t pair = blockIdx.y, batch = pair / sizes.groups, piece = blockIdx.x;
  const int rows = static_cast<int>(sizes.heads / sizes.groups), dim = static_cast<int>(sizes.dim);
  const Seen seen(seqlens_k[batch], window, sizes.slots);
  const int64_t start = piece * span > seen.start ? piece * span : seen.start, end = (piece + 1) * span < seen.end ? (piece + 1) * span : seen.end;
  if (start >= end) return;
  const int tokens = static_cast<int>(end - start);
  auto* queries = dynamic_shared<float>();
  float *weights = queries + rows * dim, *partial = weights + rows * span;
  for (int i = static_cast<int>(threadIdx.x); i < rows * dim; i += kThreads) queries[i] = to_float(q[pair * rows * dim + i]) * scale;
  __syncthreads();
  for (int token = static_cast<int>(threadIdx.x); token < tokens; token += kThreads) {
    const T* key = keys + (pair * sizes.slots + start + token) * dim;
    for (int first = 0; first < rows; first += kRows) {
      float scores[kRows] = {};
      for (int d = 0; d < dim; d += kRowWidth<T>) {
        Words<T> x;
        x.load(key + d, is_packed, dim - d);
#pragma unroll
        for (int e = 0; e < kRowWidth<T>; ++e) {
#pragma unroll
          for (int r = 0; r < kRows; ++r) {
            if (first + r < rows && d + e < dim) scores[r] += queries[(first + r) * dim + d + e] * x.number(e);
          }
        }
      }
#pragma unroll
      for (int r = 0; r < kRows; ++r) {
        if (first + r < rows) weights[(first + r) * span + token] = scores[r];
      }
    }
  }
  __syncthreads();
  const Piece to(work, sizes, pieces);
  const int64_t first_out = (pair * pieces + piece) * rows;
  const int lane = static_cast<int>(threadIdx.x) % kWarp, warp = static_cast<int>(threadIdx.x) / kWarp;
  for (int row = warp; row < rows; row += kWarps) {
    float most = -std::numeric_limits<float>::infinity(), sum = 0;
    for (int token = lane; token < tokens; token += kWarp) most = MaxOf()(most, weights[row * span + token]);
    most = over_warp(MaxOf(), most);
    for (int token = lane; token < tokens; token += kWarp) sum += weights[row * span + token] = expf(weights[row * span + token] - most);
    sum = over_warp(SumOf(), sum);
    if (lane == 0) to.most[first_out + row] = most, to.sum[first_out + row] = sum;
  }
  __syncthreads();
  // Threads beside each other have the channels of a token; where a head has fewer channels than there are threads, several tokens at a time.
  const int width = dim < kThreads ? dim : kThreads, sets = kThreads / width, set = static_cast<int>(threadIdx.x) / width;
  for (int first = 0; first < rows; first += kRows) {
    for (int channel = static_cast<int>(threadIdx.x) % width; channel < dim; channel += width) {
      float sums[kRows] = {};
      for (int token = set; token < tokens && set < sets; token += sets) {
        const float x = to_float(values[(pair * sizes.slots + start + token) * dim + channel]);
#pragma unroll
        for (int r = 0; r < kRows; ++r) {
          if (first + r < rows) sums[r] += weights[(first + r) * span + token] * x;
        }
      }
#pragma unroll
      for (int r = 0; r < kRows; ++r) {
        if (set < sets && first + r < rows) partial[(set * kRows + r) * dim + channel] = sums[r];
      }
    }
    __syncthreads();
    for (int i = static_cast<int>(threadIdx.x); i < kRows * dim && first * dim + i < rows * dim; i += kThreads) {
      float sum = 0;
      for (int n = 0; n < sets; ++n) sum += partial[n * kRows * dim + i];
      to.values[(first_out + first) * dim + i] = sum;
    }
    __syncthreads();
  }
}

/// A block has a query: the pieces of its row put together in order.
template <class T>
__global__ void __launch_bounds__(kThreads)
    join_pieces_kernel(const int32_t* seqlens_k, int64_t window, T* y, CachedSizes sizes, int64_t span, int64_t pieces, float* work) {
  const int64_t head = blockIdx.x, rows = sizes.heads / sizes.groups, pair = head / rows, row = head % rows;
  const Seen seen(seqlens_k[pair / sizes.groups], window, sizes.slots);
  const Piece from(work, sizes, pieces);
  const int64_t first = seen.start / span, last = (seen.end - 1) / span;
  float most = -std::numeric_limits<float>::infinity(), sum = 0;
  for (int64_t piece = first; piece <= last; ++piece) most = MaxOf()(most, from.most[(pair * pieces + piece) * rows + row]);
  for (int64_t piece = first; piece <= last; ++piece) {
    const int64_t at = (pair * pieces + piece) * rows + row;
    sum += from.sum[at] * expf(from.most[at] - most);
  }
  for (int64_t channel = threadIdx.x; channel < sizes.dim; channel += kThreads) {
    float total = 0;
    for (int64_t piece = first; piece <= last; ++piece) {
      const int64_t at = (pair * pieces + piece) * rows + row;
      total += from.values[at * sizes.dim + channel] * expf(from.most[at] - most);
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
    return launch(append_token_kernel<T>, grid_for(count, kThreads), kThreads, 0, stream, static_cast<const T*>(token.q), static_cast<const T*>(token.k),
                  static_cast<const T*>(token.v), token.q_row, token.k_row, static_cast<T*>(token.turned_q), static_cast<T*>(token.keys),
                  static_cast<T*>(token.values), seqlens_k, rotation, sizes, count);
  });
}

int64_t attend_token_workspace(const CachedSizes& sizes) {
  return sizes.batch * sizes.heads * pieces_of(sizes) * (sizes.dim + 2) * static_cast<int64_t>(sizeof(float));
}

bool attend_token_supports(const CachedSizes& sizes) { return sizes.dim >= 1 && sizes.pairs() <= kMostBlocksYZ && shared_bytes(sizes) <= most_shared_bytes(); }

Status attend_token(DType type, const void* q, const void* keys, const void* values, const int32_t* seqlens_k, int64_t window, void* y,
                    const CachedSizes& sizes, float scale, void* workspace, cudaStream_t stream) {
  HALO_REQUIRE(attend_token_supports(sizes), "queries and a piece's scores in " << most_shared_bytes() << " bytes of shared memory",
               sizes.heads / sizes.groups << " heads of " << sizes.dim << " channels a key/value head", "Use masked_attention.");
  if (sizes.batch * sizes.slots == 0) return {};
  const int64_t span = span_of(sizes), pieces = pieces_of(sizes), bytes = shared_bytes(sizes);
  return dispatch_float(type, [&]<class T>() -> Status {
    const bool is_packed = rows_are_packed<T>(sizes.dim, {keys});
    HALO_CUDA_RETURN_IF_ERROR(cudaFuncSetAttribute(attend_piece_kernel<T>, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(bytes)));
    HALO_RETURN_IF_ERROR(launch(attend_piece_kernel<T>, dim3(static_cast<unsigned>(pieces), static_cast<unsigned>(sizes.pairs())), kThreads,
                                static_cast<size_t>(bytes), stream, static_cast<const T*>(q), static_cast<const T*>(keys), static_cast<const T*>(values),
                                seqlens_k, window, sizes, scale, span, pieces, is_packed, static_cast<float*>(workspace)));
    return launch(join_pieces_kernel<T>, static_cast<unsigned>(sizes.batch * sizes.heads), kThreads, 0, stream, seqlens_k, window, static_cast<T*>(y), sizes,
                  span, pieces, static_cast<float*>(workspace));
  });
}

}  // namespace halo::cuda
