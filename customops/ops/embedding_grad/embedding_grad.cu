#include "ops/embedding_grad/embedding_grad.h"

#include <cmath>

#include "provider/kernels/rows.cuh"

namespace halo {

namespace {

constexpr int kSortThreads = 1024, kSortWarps = kSortThreads / cuda::kWarp;

/// Bits of a key that one pass of the sort looks at, and the counters that each warp has for them.
constexpr int kDigitBits = 8, kDigits = 1 << kDigitBits;

/// Sorted entries whose rows one block adds up.
constexpr int kPiece = 32;

/// Rows that a thread has in flight.
constexpr int kRowsAhead = 4;

/// Columns of a thread, and threads of a block: 1024 columns.
constexpr int kWidth = 8, kThreads = 128;

constexpr int64_t kBlockColumns = kWidth * kThreads;

/// What is sorted: `key`, the row of dweight that a row of dy goes to, or one behind all of these: `rows` where it goes to another part of the table, `rows` +
/// 1 for an id out of range; `dy_row`, that row of dy, 0 to count - 1. Entries lie at sorted positions 0 to count - 1.
struct Entry {
  uint32_t key, dy_row;
};

__device__ Entry entry_of(const int64_t* ids, int64_t dy_row, TableRows table) {
  const int64_t id = ids[dy_row] < 0 ? ids[dy_row] + table.of : ids[dy_row], row = id - table.first;
  const int64_t key = id < 0 || id >= table.of ? table.rows + 1 : row < 0 || row >= table.rows ? table.rows : row;
  return {static_cast<uint32_t>(key), static_cast<uint32_t>(dy_row)};
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

/// Sorts entries by key, stably, from the lowest digit on: each warp counts the digits of its own stretch, counts become first sorted positions, each warp
/// moves its stretch. One block; `count` entries of 8 bytes are read twice and written once for each of `passes` digits, in L2.
__global__ void __launch_bounds__(kSortThreads) sort_entries_kernel(const int64_t* ids, TableRows table, int64_t count, int passes, Entry* even, Entry* odd) {
  __shared__ uint32_t counters[kSortWarps][kDigits];
  __shared__ uint32_t warp_sums[kSortWarps];
  const int thread = static_cast<int>(threadIdx.x), lane = thread % cuda::kWarp, warp = thread / cuda::kWarp;
  const int64_t stretch = (count + kSortThreads - 1) / kSortThreads * cuda::kWarp, first = warp * stretch;
  const int64_t end = first + stretch < count ? first + stretch : count;
  for (int pass = 0; pass < passes; ++pass) {
    const Entry* from = pass % 2 == 0 ? odd : even;
    Entry* to = pass % 2 == 0 ? even : odd;
    const int shift = pass * kDigitBits;
    // Calls f(entry, whether there is one, its digit, the lanes with the same digit) for each 32 entries of the warp's stretch, one a lane.
    const auto for_stretch = [&](auto&& f) {
      for (int64_t position = first; position < end; position += cuda::kWarp) {
        const bool is_there = position + lane < end;
        Entry entry{0, 0};
        if (is_there) entry = pass == 0 ? entry_of(ids, position + lane, table) : from[position + lane];
        const uint32_t digit = entry.key >> shift & (kDigits - 1);
        uint32_t same = __ballot_sync(cuda::kAllLanes, is_there);
        for (int bit = 0; bit < kDigitBits; ++bit) {
          const bool is_set = (digit >> bit & 1u) != 0;
          const uint32_t others = __ballot_sync(cuda::kAllLanes, is_set);
          same &= is_set ? others : ~others;
        }
        f(entry, is_there, digit, same);
      }
    };
    for (int i = thread; i < kSortWarps * kDigits; i += kSortThreads) counters[i / kDigits][i % kDigits] = 0;
    __syncthreads();
    for_stretch([&](const Entry&, bool is_there, uint32_t digit, uint32_t same) {
      if (is_there && lane == __ffs(static_cast<int>(same)) - 1) counters[warp][digit] += static_cast<uint32_t>(__popc(same));
      __syncwarp();
    });
    __syncthreads();
    // Counts in the order digit, warp become the sums of those before; a thread has 8 of them: `counter` = digit * kSortWarps + warp.
    constexpr int kThreadCounters = kSortWarps * kDigits / kSortThreads;
    uint32_t sum = 0, before[kThreadCounters];
    for (int i = 0; i < kThreadCounters; ++i) {
      const int counter = thread * kThreadCounters + i;
      before[i] = sum;
      sum += counters[counter % kSortWarps][counter / kSortWarps];
    }
    const uint32_t lower = over_lower_lanes(sum, lane);
    if (lane == cuda::kWarp - 1) warp_sums[warp] = lower + sum;
    __syncthreads();
    if (warp == 0) warp_sums[lane] = over_lower_lanes(warp_sums[lane], lane);
    __syncthreads();
    for (int i = 0; i < kThreadCounters; ++i) {
      const int counter = thread * kThreadCounters + i;
      counters[counter % kSortWarps][counter / kSortWarps] = warp_sums[warp] + lower + before[i];
    }
    __syncthreads();
    for_stretch([&](const Entry& entry, bool is_there, uint32_t digit, uint32_t same) {
      const uint32_t base = counters[warp][digit];
      __syncwarp();
      if (is_there) {
        const uint32_t rank = static_cast<uint32_t>(__popc(same & ((1u << lane) - 1)));
        to[base + rank] = entry;
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
__device__ void store_sums(V* to, bool is_packed, int length, const float (&sums)[kWidth]) {
  V results[kWidth];
#pragma unroll
  for (int i = 0; i < kWidth; ++i) results[i] = cuda::narrowed<V>(sums[i]);
  cuda::store_pack<kWidth>(to, is_packed, length, results);
}

/// A block has 32 sorted entries and 1024 columns, a thread 8 columns; rows that lie within a piece are written, of others their part. The table is 0 before.
/// Reads each element of dy that goes to it once; bound by memory. grid: (pieces, columns / 1024).
template <class T, class R>
__global__ void __launch_bounds__(kThreads)
    sum_pieces_of_rows_kernel(const T* dy, const Entry* entries, R* dweight, Partials partials, int64_t count, int64_t rows, bool is_packed) {
  __shared__ Entry shared_entries[kPiece + 2];  // and the one before and behind
  const int64_t columns = partials.columns, piece = blockIdx.x, first = piece * kPiece;
  const int piece_length = count - first < kPiece ? static_cast<int>(count - first) : kPiece;
  if (threadIdx.x < kPiece + 2) {
    const int64_t position = first + threadIdx.x - 1;
    shared_entries[threadIdx.x] = position >= 0 && position < count ? entries[position] : Entry{UINT32_MAX, 0};
  }
  __syncthreads();
  if (shared_entries[1].key >= rows) return;  // and so are all behind it
  const int64_t column = static_cast<int64_t>(blockIdx.y) * kBlockColumns + static_cast<int64_t>(threadIdx.x) * kWidth;
  if (column >= columns) return;
  const int length = columns - column < kWidth ? static_cast<int>(columns - column) : kWidth;  // columns of the thread, 1 to kWidth
  const bool is_whole = is_packed && length == kWidth;
  const Entry* piece_entries = shared_entries + 1;  // [0, piece_length), and its neighbours at -1 and piece_length
  float sums[kWidth] = {};
  for (int i = 0; i < piece_length; i += kRowsAhead) {
    T values[kRowsAhead][kWidth];
#pragma unroll
    for (int k = 0; k < kRowsAhead; ++k) {
      if (i + k < piece_length) cuda::load_pack<kWidth>(dy, piece_entries[i + k].dy_row * columns + column, 1, is_whole, length, values[k]);
    }
#pragma unroll
    for (int k = 0; k < kRowsAhead; ++k) {
      if (i + k >= piece_length) break;
      const uint32_t row = piece_entries[i + k].key;
#pragma unroll
      for (int n = 0; n < kWidth; ++n) sums[n] += n < length ? cuda::widened(values[k][n]) : 0.0f;
      const bool is_last = i + k + 1 == piece_length;
      if (!is_last && piece_entries[i + k + 1].key == row) continue;
      if (row < rows) {
        const bool came = piece_entries[0].key == row && piece_entries[-1].key == row, goes_on = is_last && piece_entries[piece_length].key == row;
        if (came || goes_on) {
          store_sums(partials.of(piece, came ? 0 : 1) + column, is_whole, length, sums);
        } else {
          store_sums(dweight + row * columns + column, is_whole, length, sums);
        }
      }
#pragma unroll
      for (int n = 0; n < kWidth; ++n) sums[n] = 0.0f;
    }
  }
}

/// Where a row begins in the piece and goes on behind it, the sum of its parts, in order, for 8 columns.
template <class R>
__device__ void join_piece(const Entry* entries, R* dweight, Partials partials, int64_t piece, int64_t column, int64_t count, int64_t rows, bool is_packed) {
  const int64_t columns = partials.columns, first = piece * kPiece, next = first + kPiece;
  if (next >= count || column >= columns) return;
  const uint32_t row = entries[next].key;
  if (row >= rows || entries[next - 1].key != row || (first > 0 && entries[first - 1].key == row)) return;
  const int length = columns - column < kWidth ? static_cast<int>(columns - column) : kWidth;  // columns of the thread, 1 to kWidth
  const bool is_whole = is_packed && length == kWidth;
  float sums[kWidth];
  cuda::load_pack<kWidth>(partials.of(piece, 1), column, 1, is_whole, length, sums);
  bool goes_on = true;
  for (int64_t next_piece = piece + 1; goes_on; next_piece += kRowsAhead) {
    float values[kRowsAhead][kWidth];
    bool has[kRowsAhead];
#pragma unroll
    for (int k = 0; k < kRowsAhead; ++k) {
      const int64_t position = (next_piece + k) * kPiece;
      has[k] = position < count && entries[position].key == row;
      if (has[k]) cuda::load_pack<kWidth>(partials.of(next_piece + k, 0), column, 1, is_whole, length, values[k]);
    }
#pragma unroll
    for (int k = 0; k < kRowsAhead; ++k) {
#pragma unroll
      for (int n = 0; n < kWidth; ++n) {
        if (has[k] && n < length) sums[n] += values[k][n];
      }
    }
    goes_on = has[kRowsAhead - 1];
  }
  store_sums(dweight + row * columns + column, is_whole, length, sums);
}

/// A block has a piece and 1024 columns, a thread 8; writes the rows that the other kernel has parts of. grid: (pieces, columns / 1024).
template <class R>
__global__ void __launch_bounds__(kThreads)
    join_pieces_kernel(const Entry* entries, R* dweight, Partials partials, int64_t count, int64_t rows, bool is_packed) {
  const int64_t column = static_cast<int64_t>(blockIdx.y) * kBlockColumns + static_cast<int64_t>(threadIdx.x) * kWidth;
  join_piece(entries, dweight, partials, blockIdx.x, column, count, rows, is_packed);
  // Row 0, which begins with the first entry, is this thread's.
  if (blockIdx.x == 0 && column == 0 && entries[count - 1].key > rows) *dweight = cuda::narrowed<R>(NAN);
}

int64_t aligned(int64_t bytes) { return cuda::ceil_div(bytes, 256) * 256; }

template <class T, class R>
Status run(const T* dy, const int64_t* ids, R* dweight, int64_t count, int64_t columns, TableRows table, void* workspace, cudaStream_t stream) {
  const int64_t rows = table.rows;
  const int64_t entries_bytes = aligned(count * static_cast<int64_t>(sizeof(Entry)));
  auto* even = static_cast<Entry*>(workspace);
  auto* odd = reinterpret_cast<Entry*>(static_cast<char*>(workspace) + entries_bytes);
  const Partials partials{.sums = reinterpret_cast<float*>(static_cast<char*>(workspace) + 2 * entries_bytes), .columns = columns};
  int passes = 1;
  while (passes * kDigitBits < 32 && (rows + 1) >> (passes * kDigitBits) > 0) ++passes;
  const Entry* entries = passes % 2 == 0 ? odd : even;
  const auto wide = static_cast<unsigned>(cuda::ceil_div(columns, kBlockColumns));
  const bool is_packed = columns % kWidth == 0 && cuda::is_aligned(dy, 32) && cuda::is_aligned(dweight, 32) && cuda::is_aligned(partials.sums, 32);
  HALO_RETURN_IF_ERROR(HALO_CUDA_STATUS(cudaMemsetAsync(dweight, 0, static_cast<size_t>(rows * columns) * sizeof(R), stream)));
  if (count == 0) return {};
  const dim3 grid(cuda::grid_for(count, kPiece), wide);
  HALO_RETURN_IF_ERROR(cuda::launch(sort_entries_kernel, 1, kSortThreads, 0, stream, ids, table, count, passes, even, odd));
  HALO_RETURN_IF_ERROR(cuda::launch(sum_pieces_of_rows_kernel<T, R>, grid, kThreads, 0, stream, dy, entries, dweight, partials, count, rows, is_packed));
  return cuda::launch(join_pieces_kernel<R>, grid, kThreads, 0, stream, entries, dweight, partials, count, rows, is_packed);
}

}  // namespace

int64_t embedding_grad_workspace_cuda(int64_t count, int64_t columns) {
  return 2 * aligned(count * static_cast<int64_t>(sizeof(Entry))) + cuda::ceil_div(count, kPiece) * 2 * columns * static_cast<int64_t>(sizeof(float));
}

Status embedding_grad_cuda(DType type, DType to, const void* dy, const int64_t* ids, void* dweight, int64_t count, int64_t columns, TableRows table,
                           void* workspace, cudaStream_t stream) {
  HALO_REQUIRE(count <= INT32_MAX, "at most " << INT32_MAX << " ids", count, "Take a smaller batch or a shorter sequence.");
  HALO_REQUIRE(table.of < INT32_MAX - 1, "a table of fewer than " << INT32_MAX - 1 << " rows", table.of, "Take a smaller vocabulary.");
  HALO_REQUIRE(to == DType::kFloat || to == type, "a gradient in float or " << name_of(type) << ", the type of dY", to, "Cast dY before.");
  return cuda::dispatch_float(type, [&]<class T>() {
    if (to == DType::kFloat) return run(static_cast<const T*>(dy), ids, static_cast<float*>(dweight), count, columns, table, workspace, stream);
    return run(static_cast<const T*>(dy), ids, static_cast<T*>(dweight), count, columns, table, workspace, stream);
  });
}

}  // namespace halo
