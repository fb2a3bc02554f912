#include "ops/embedding_grad/embedding_grad.h"

#include <cmath>

#include "provider/kernels/rows.cuh"

namespace halo {

namespace {

constexpr int kSortThreads = 1024, kSortWarps = kSortThreads / cuda::kWarp;

/// Bits of a key that one pass of the sort looks at, and the counters that each warp has for them.
constexpr int kDigitBits = 8, kDigits = 1 << kDigitBits;

/// Sorted places whose rows one block adds up.
constexpr int kPiece = 32;

/// Rows that a thread has in flight.
constexpr int kRowsAhead = 4;

/// Columns of a thread, and threads of a block: 1024 columns.
constexpr int kWidth = 8, kThreads = 128;

/// Rows of the table that a block completes.
constexpr int kTableRows = 16;

constexpr int64_t kBlockColumns = kWidth * kThreads;

/// A place among dy's rows and the row of the table that it goes to; `rows` for an id out of range, which is sorted behind all others.
struct Place {
  uint32_t row, at;
};

__device__ Place place_of(const int64_t* ids, int64_t at, int64_t rows) {
  const int64_t id = ids[at] < 0 ? ids[at] + rows : ids[at];
  return {static_cast<uint32_t>(id < 0 || id >= rows ? rows : id), static_cast<uint32_t>(at)};
}

/// Sums of the values of all lower lanes.
__device__ uint32_t over_lower_lanes(uint32_t value, int lane) {
  uint32_t sum = value;
  for (int distance = 1; distance < cuda::kWarp; distance *= 2) {
    const uint32_t other = __shfl_sync(cuda::kAllLanes, sum, lane >= distance ? lane - distance : lane);
    sum += lane >= distance ? other : 0u;
  }
  return sum - value;
}

/// Sorts places by row, stably, from the lowest digit on: each warp counts the digits of its own stretch, counts become first places, each warp moves its
/// stretch. One block; `count` places of 8 bytes are read twice and written once for each of `passes` digits, in L2.
__global__ void __launch_bounds__(kSortThreads) sort_places_kernel(const int64_t* ids, int64_t rows, int64_t count, int passes, Place* even, Place* odd) {
  __shared__ uint32_t counters[kSortWarps][kDigits];
  __shared__ uint32_t warp_sums[kSortWarps];
  const int thread = static_cast<int>(threadIdx.x), lane = thread % cuda::kWarp, warp = thread / cuda::kWarp;
  const int64_t stretch = (count + kSortThreads - 1) / kSortThreads * cuda::kWarp, first = warp * stretch;
  const int64_t end = first + stretch < count ? first + stretch : count;
  for (int pass = 0; pass < passes; ++pass) {
    const Place* from = pass % 2 == 0 ? odd : even;
    Place* to = pass % 2 == 0 ? even : odd;
    const int shift = pass * kDigitBits;
    // Calls f(place, whether there is one, its digit, the lanes with the same digit) for each 32 places of the warp.
    const auto for_own = [&](auto&& f) {
      for (int64_t at = first; at < end; at += cuda::kWarp) {
        const bool is_there = at + lane < end;
        Place place{0, 0};
        if (is_there) place = pass == 0 ? place_of(ids, at + lane, rows) : from[at + lane];
        const uint32_t digit = place.row >> shift & (kDigits - 1);
        uint32_t same = __ballot_sync(cuda::kAllLanes, is_there);
        for (int bit = 0; bit < kDigitBits; ++bit) {
          const bool own = (digit >> bit & 1u) != 0;
          const uint32_t others = __ballot_sync(cuda::kAllLanes, own);
          same &= own ? others : ~others;
        }
        f(place, is_there, digit, same);
      }
    };
    for (int i = thread; i < kSortWarps * kDigits; i += kSortThreads) counters[i / kDigits][i % kDigits] = 0;
    __syncthreads();
    for_own([&](const Place&, bool is_there, uint32_t digit, uint32_t same) {
      if (is_there && lane == __ffs(static_cast<int>(same)) - 1) counters[warp][digit] += static_cast<uint32_t>(__popc(same));
      __syncwarp();
    });
    __syncthreads();
    // Counts in the order digit, warp become the sums of those before; a thread has 8 of them.
    constexpr int kOwn = kSortWarps * kDigits / kSortThreads;
    uint32_t sum = 0, before[kOwn];
    for (int i = 0; i < kOwn; ++i) {
      const int own = thread * kOwn + i;
      before[i] = sum;
      sum += counters[own % kSortWarps][own / kSortWarps];
    }
    const uint32_t lower = over_lower_lanes(sum, lane);
    if (lane == cuda::kWarp - 1) warp_sums[warp] = lower + sum;
    __syncthreads();
    if (warp == 0) warp_sums[lane] = over_lower_lanes(warp_sums[lane], lane);
    __syncthreads();
    for (int i = 0; i < kOwn; ++i) {
      const int own = thread * kOwn + i;
      counters[own % kSortWarps][own / kSortWarps] = warp_sums[warp] + lower + before[i];
    }
    __syncthreads();
    for_own([&](const Place& place, bool is_there, uint32_t digit, uint32_t same) {
      const uint32_t base = counters[warp][digit];
      __syncwarp();
      if (is_there) {
        const uint32_t rank = static_cast<uint32_t>(__popc(same & ((1u << lane) - 1)));
        to[base + rank] = place;
        if (rank == 0) counters[warp][digit] = base + static_cast<uint32_t>(__popc(same));
      }
      __syncwarp();
    });
    __syncthreads();
  }
}

/// What of a row is summed within one piece: [piece][0] of a row that came from the piece before, [piece][1] of one that begins here and goes on.
struct Partials {
  float* sums;
  int64_t columns;
  __device__ float* of(int64_t piece, int which) const { return sums + (piece * 2 + which) * columns; }
};

template <class V>
__device__ void store_sums(V* to, bool is_packed, int own, const float (&sums)[kWidth]) {
  V results[kWidth];
#pragma unroll
  for (int i = 0; i < kWidth; ++i) results[i] = cuda::narrowed<V>(sums[i]);
  cuda::store_pack<kWidth>(to, is_packed, own, results);
}

/// A block has 32 sorted places and 1024 columns, a thread 8 columns; rows that lie within a piece are written, of others their part.
/// Reads each element of dy once; bound by memory. grid: (pieces, columns / 1024).
template <class T, class R>
__global__ void __launch_bounds__(kThreads)
    sum_pieces_of_rows_kernel(const T* dy, const Place* places, R* dweight, Partials partials, int64_t count, int64_t rows, bool is_packed) {
  __shared__ Place own_places[kPiece + 2];  // and the one before and behind
  const int64_t columns = partials.columns, piece = blockIdx.x, first = piece * kPiece;
  const int length = count - first < kPiece ? static_cast<int>(count - first) : kPiece;
  if (threadIdx.x < kPiece + 2) {
    const int64_t at = first + threadIdx.x - 1;
    own_places[threadIdx.x] = at >= 0 && at < count ? places[at] : Place{UINT32_MAX, 0};
  }
  __syncthreads();
  const int64_t column = static_cast<int64_t>(blockIdx.y) * kBlockColumns + static_cast<int64_t>(threadIdx.x) * kWidth;
  if (column >= columns) return;
  const int own = columns - column < kWidth ? static_cast<int>(columns - column) : kWidth;
  const bool is_whole = is_packed && own == kWidth;
  const Place* at = own_places + 1;
  float sums[kWidth] = {};
  for (int i = 0; i < length; i += kRowsAhead) {
    T values[kRowsAhead][kWidth];
#pragma unroll
    for (int k = 0; k < kRowsAhead; ++k) {
      if (i + k < length) cuda::load_pack<kWidth>(dy, at[i + k].at * columns + column, 1, is_whole, own, values[k]);
    }
#pragma unroll
    for (int k = 0; k < kRowsAhead; ++k) {
      if (i + k >= length) break;
      const uint32_t row = at[i + k].row;
#pragma unroll
      for (int n = 0; n < kWidth; ++n) sums[n] += n < own ? cuda::widened(values[k][n]) : 0.0f;
      const bool is_last = i + k + 1 == length;
      if (!is_last && at[i + k + 1].row == row) continue;
      if (row < rows) {
        const bool came = at[0].row == row && at[-1].row == row, goes_on = is_last && at[length].row == row;
        if (came || goes_on) {
          store_sums(partials.of(piece, came ? 0 : 1) + column, is_whole, own, sums);
        } else {
          store_sums(dweight + row * columns + column, is_whole, own, sums);
        }
      }
#pragma unroll
      for (int n = 0; n < kWidth; ++n) sums[n] = 0.0f;
    }
  }
}

/// A block has 16 rows of the table and 1024 columns: those without a place become 0, those of several pieces the sum of their parts, in order.
/// Writes what the other kernel has not. grid: (table rows / 16, columns / 1024).
template <class R>
__global__ void __launch_bounds__(kThreads)
    complete_rows_kernel(const Place* places, R* dweight, Partials partials, int64_t count, int64_t rows, bool is_packed) {
  __shared__ int64_t starts[kTableRows + 1];
  const int64_t columns = partials.columns, first_row = static_cast<int64_t>(blockIdx.x) * kTableRows;
  if (threadIdx.x <= kTableRows) {
    const int64_t row = first_row + threadIdx.x;
    int64_t low = 0, high = count;  // the first place that is not before `row`, found by halving
    while (low < high) {
      const int64_t middle = (low + high) / 2;
      (places[middle].row < row ? low : high) = places[middle].row < row ? middle + 1 : middle;
    }
    starts[threadIdx.x] = low;
  }
  __syncthreads();
  const int64_t column = static_cast<int64_t>(blockIdx.y) * kBlockColumns + static_cast<int64_t>(threadIdx.x) * kWidth;
  if (column >= columns) return;
  const int own = columns - column < kWidth ? static_cast<int>(columns - column) : kWidth;
  const bool is_whole = is_packed && own == kWidth;
  for (int i = 0; i < kTableRows && first_row + i < rows; ++i) {
    const int64_t begin = starts[i], end = starts[i + 1], piece = begin / kPiece, last_piece = (end - 1) / kPiece;
    if (begin < end && piece == last_piece) continue;
    float sums[kWidth] = {};
    if (begin < end) {
      for (int64_t p = piece; p <= last_piece; ++p) {
        float values[kWidth];
        cuda::load_pack<kWidth>(partials.of(p, p == piece ? 1 : 0), column, 1, is_whole, own, values);
#pragma unroll
        for (int n = 0; n < kWidth; ++n) sums[n] += n < own ? values[n] : 0.0f;
      }
    }
    store_sums(dweight + (first_row + i) * columns + column, is_whole, own, sums);
  }
  if (first_row == 0 && column == 0 && count > 0 && places[count - 1].row >= rows) *dweight = cuda::narrowed<R>(NAN);
}

int64_t aligned(int64_t bytes) { return cuda::ceil_div(bytes, 256) * 256; }

template <class T, class R>
Status run(const T* dy, const int64_t* ids, R* dweight, int64_t count, int64_t columns, int64_t rows, void* workspace, cudaStream_t stream) {
  const int64_t places_bytes = aligned(count * static_cast<int64_t>(sizeof(Place)));
  auto* even = static_cast<Place*>(workspace);
  auto* odd = reinterpret_cast<Place*>(static_cast<char*>(workspace) + places_bytes);
  const Partials partials{.sums = reinterpret_cast<float*>(static_cast<char*>(workspace) + 2 * places_bytes), .columns = columns};
  int passes = 1;
  while (passes * kDigitBits < 32 && rows >> (passes * kDigitBits) > 0) ++passes;
  const Place* places = passes % 2 == 0 ? odd : even;
  const auto wide = static_cast<unsigned>(cuda::ceil_div(columns, kBlockColumns));
  const bool is_packed = columns % kWidth == 0 && cuda::is_aligned(dy, 32) && cuda::is_aligned(dweight, 32) && cuda::is_aligned(partials.sums, 32);
  if (count > 0) {
    HALO_RETURN_IF_ERROR(cuda::launch(sort_places_kernel, 1, kSortThreads, 0, stream, ids, rows, count, passes, even, odd));
    HALO_RETURN_IF_ERROR(cuda::launch(sum_pieces_of_rows_kernel<T, R>, dim3(cuda::grid_for(count, kPiece), wide), kThreads, 0, stream, dy, places, dweight,
                                      partials, count, rows, is_packed));
  }
  return cuda::launch(complete_rows_kernel<R>, dim3(cuda::grid_for(rows, kTableRows), wide), kThreads, 0, stream, places, dweight, partials, count, rows,
                      is_packed);
}

}  // namespace

int64_t embedding_grad_workspace_cuda(int64_t count, int64_t columns) {
  return 2 * aligned(count * static_cast<int64_t>(sizeof(Place))) + cuda::ceil_div(count, kPiece) * 2 * columns * static_cast<int64_t>(sizeof(float));
}

Status embedding_grad_cuda(DType type, DType to, const void* dy, const int64_t* ids, void* dweight, int64_t count, int64_t columns, int64_t rows,
                           void* workspace, cudaStream_t stream) {
  HALO_REQUIRE(count <= INT32_MAX, "at most " << INT32_MAX << " ids", count, "Take a smaller batch or a shorter sequence.");
  HALO_REQUIRE(rows < INT32_MAX, "a table of fewer than " << INT32_MAX << " rows", rows, "Take a smaller vocabulary.");
  HALO_REQUIRE(to == DType::kFloat || to == type, "a gradient in float or " << name_of(type) << ", the type of dY", to, "Cast dY before.");
  return cuda::dispatch_float(type, [&]<class T>() {
    if (to == DType::kFloat) return run(static_cast<const T*>(dy), ids, static_cast<float*>(dweight), count, columns, rows, workspace, stream);
    return run(static_cast<const T*>(dy), ids, static_cast<T*>(dweight), count, columns, rows, workspace, stream);
  });
}

}  // namespace halo
