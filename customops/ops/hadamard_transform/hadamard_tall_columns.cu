// Vectors along columns, 2048 and 4096 long, of 16-bit numbers: whole vectors in tiles of shared memory, sums handed over once in float32.
#include <algorithm>

#include "ops/hadamard_transform/hadamard_column_tiles.cuh"
#include "ops/hadamard_transform/hadamard_kernels.h"

namespace halo {

namespace {

using namespace hadamard_columns;

/// A warp has 16 columns, and S_32 (x) S_8 of its rows in two parts of 64 sums a lane, each of which it hands over in two halves.
constexpr int kThreads = 512, kSetColumns = 16, kParts = 2, kTiles = 8, kHalves = 2, kHalfTiles = kTiles / kHalves, kHalfRows = 16 * kHalfTiles;

/// Float32 of a warp's half.
constexpr int kRegion = kHalfRows * kSetColumns;

/// H_n = S_warps (x) S_8 (x) S_32, in this order of a row's bits. A tile has as many sets of 16 columns as leave each `set_warps` of the block's 16 warps.
template <int set_warps>
struct TallShape {
  static constexpr int kWarps = set_warps, kSets = kThreads / cuda::kWarp / kWarps, kColumns = kSets * kSetColumns, kPacks = kColumns / kPackElements;
  static constexpr int kWarpRows = 16 * kParts * kTiles, kRows = kWarps * kWarpRows, kElements = kRows * kColumns;
  static constexpr int kBytes = kElements * 2 + kThreads / cuda::kWarp * kRegion * 4;
  /// Columns of a row of sums that a lane reads of all warps.
  static constexpr int kLaneColumns = kHalfRows * kColumns / kThreads;
};

/// Where four columns of a row of sums lie: lanes that write two columns each of four rows, and lanes that read a row's columns side by side, of one set or of
/// two, meet different banks.
__device__ inline int sums_place(int row, int quarter, int set) { return (row / 2 * 8 + ((row % 2 * 4 + quarter) ^ (row / 2 % 2 * 3) ^ (set * 5))) * 4; }

/// A block walks over tiles of whole vectors, 32 columns of 2048 or 16 of 4096. S_32 on the matrix units, whose operands are numbers as they were read, S_8 by
/// additions between a warp's sums, the rest by additions of what all warps handed over. Exact but for sums in float32. The next tile is on its way when all
/// have read the last. Reads and writes each element once; shared memory moves 14 bytes an element; bound by memory, and by the barriers between its phases.
template <class Shape, bool has_max, class T>
__global__ void __launch_bounds__(kThreads, 1)
    hadamard_tall_columns_kernel(const T* x, T* y, [[maybe_unused]] float* absmax, int64_t columns, TileGrid grid, float scale) {
  constexpr int kWarps = Shape::kWarps, kPacks = Shape::kPacks, kLaneColumns = Shape::kLaneColumns, kStepRows = kThreads / kPacks;
  auto* const tile = cuda::dynamic_shared<T>();
  auto* const handed = reinterpret_cast<float*>(tile + Shape::kElements);
  const int thread = static_cast<int>(threadIdx.x), lane = thread % cuda::kWarp, warp = thread / cuda::kWarp % kWarps, set = thread / cuda::kWarp / kWarps;
  const auto start_copies = [&](int at) {
    const int row = thread / kPacks, pack = thread % kPacks;
    const int64_t column = grid.column(at) + pack * kPackElements;
    const bool is_inside = column < columns;
    const T* from = x + (grid.row(at) + row) * columns + (is_inside ? column : 0);
#pragma unroll
    for (int n = 0; n < Shape::kRows / kStepRows; ++n) {
      cuda::copy_async_of_line(tile + place<Shape>(row, pack) + n * kStepRows * Shape::kColumns, from, is_inside);
      from += kStepRows * columns;
    }
    cuda::commit_copies();
  };
  uint32_t base[4];
  fill_signs<T>(base);
  cuda::LargestOfWords<T, has_max> largest;  // columns beyond the last are zeros
  const T* loaded = tile + place<Shape>(warp * Shape::kWarpRows + lane % 16, set * 2 + lane / 16);
  float* const own = handed + (set * kWarps + warp) * kRegion + lane % 2 * 2;
  float* const own_places[2] = {own + sums_place(lane / 4, lane % 4 / 2, set), own + sums_place(lane / 4, lane % 4 / 2 + 2, set)};
  constexpr int kRowLanes = Shape::kColumns / kLaneColumns;
  const int read_row = thread / kRowLanes, read_column = thread % kRowLanes * kLaneColumns, read_set = read_column / kSetColumns;
  const float* const read = handed + read_set * kWarps * kRegion + sums_place(read_row, read_column % kSetColumns / 4, read_set) + read_column % 4;
  start_copies(static_cast<int>(blockIdx.x));
  for (int at = static_cast<int>(blockIdx.x); at < grid.tiles; at += static_cast<int>(gridDim.x)) {
    cuda::wait_for_copies<0>();
    __syncthreads();
#pragma unroll 1
    for (int part = 0; part < kParts; ++part) {
      float sums[kTiles][2][4];
#pragma unroll
      for (int step = 0; step < kParts; ++step) {
        uint32_t signs[4];
        power_signs(part, step, base, signs);
#pragma unroll
        for (int t = 0; t < kTiles; ++t) {
          uint32_t b[4];
          cuda::load_matrices<true>(loaded + (t * kParts + step) * 16 * Shape::kColumns, b);
          if (step == 0) {
            cuda::multiply<T>(sums[t][0], signs, b[0], b[1]);
            cuda::multiply<T>(sums[t][1], signs, b[2], b[3]);
          } else {
            cuda::multiply_add<T>(sums[t][0], signs, b[0], b[1]);
            cuda::multiply_add<T>(sums[t][1], signs, b[2], b[3]);
          }
        }
      }
      across_tiles<3>(sums);
#pragma unroll
      for (int half = 0; half < kHalves; ++half) {
        if (part + half > 0) __syncthreads();
#pragma unroll
        for (int t = 0; t < kHalfTiles; ++t) {
#pragma unroll
          for (int i = 0; i < 4; ++i) {  // rows lane / 4 and 8 on, of both packs
            const float(&four)[4] = sums[half * kHalfTiles + t][i % 2];
            cuda::store_pair(own_places[i % 2] + (t * 16 + i / 2 * 8) * kSetColumns, four[i / 2 * 2], four[i / 2 * 2 + 1]);
          }
        }
        __syncthreads();
        if (part == kParts - 1 && half == 0 && at + static_cast<int>(gridDim.x) < grid.tiles) start_copies(at + static_cast<int>(gridDim.x));
        float values[kWarps][kLaneColumns];
#pragma unroll
        for (int w = 0; w < kWarps; ++w) {
          const auto some = *reinterpret_cast<const cuda::Pack<float, kLaneColumns>*>(read + w * kRegion);
#pragma unroll
          for (int c = 0; c < kLaneColumns; ++c) values[w][c] = some.values[c];
        }
#pragma unroll
        for (int distance = 1; distance < kWarps; distance *= 2) {
#pragma unroll
          for (int w = 0; w < kWarps; ++w) {
            if ((w & distance) != 0) continue;
#pragma unroll
            for (int c = 0; c < kLaneColumns; ++c) {
              const float a = values[w][c], b = values[w + distance][c];
              values[w][c] = a + b;
              values[w + distance][c] = a - b;
            }
          }
        }
        // Of two columns a lane gives one of two warps' rows to its neighbour for the other's: 8 bytes a store.
        constexpr bool kTrades = kLaneColumns == 2;
        constexpr int kStores = kTrades ? kWarps / 2 : kWarps;
        const bool is_odd = kTrades && lane % 2 != 0;
        const int64_t row =
            grid.row(at) + ((half * kHalfTiles + read_row / 16) * kParts + part) * 16 + read_row % 16 + (is_odd ? kStores * Shape::kWarpRows : 0);
        const int64_t column = grid.column(at) + read_column - (is_odd ? kLaneColumns : 0);
        T* to = y + row * columns + column;
#pragma unroll
        for (int w = 0; w < kStores; ++w) {
          uint32_t words[2];
#pragma unroll
          for (int i = 0; i < 2; ++i) {
            const float* const pair = kTrades ? values[w + i * kStores] : values[w] + 2 * i;
            words[i] = cuda::packed_pair<T>(pair[0] * scale, pair[1] * scale);
            largest.take(words[i]);
          }
          const cuda::Pack<uint32_t, 2> pack = kTrades ? words_of_neighbours(words[0], words[1]) : cuda::Pack<uint32_t, 2>{{words[0], words[1]}};
          if (column < columns) cuda::store_words(to, pack);
          to += Shape::kWarpRows * columns;
        }
      }
    }
  }
  if constexpr (has_max) {
    __shared__ uint32_t scratch[cuda::kWarp];
    cuda::raise_absolute_max(largest.magnitude(), absmax, scratch);
  }
}

/// Calls f.operator()<Shape>() with the shape of a size; of 2048, should it have none.
template <class F>
auto with_shape(int64_t size, F&& f) {
  return size == TallShape<16>::kRows ? f.template operator()<TallShape<16>>() : f.template operator()<TallShape<8>>();
}

}  // namespace

bool hadamard_tall_columns_supports(DType type, const void* x, const void* y, int64_t columns, int64_t size) {
  if (size_of(type) != 2 || columns % kPackElements != 0 || !cuda::is_aligned(x, 16) || !cuda::is_aligned(y, 16)) return false;
  // A maximum takes a little of the memory too.
  return with_shape(size, [&]<class Shape>() { return Shape::kRows == size && Shape::kBytes <= cuda::most_shared_bytes() - 1024; });
}

Status hadamard_tall_columns_cuda(DType type, const void* x, void* y, float* absmax, int64_t columns, int64_t size, int64_t blocks, float scale,
                                  cudaStream_t stream) {
  HALO_REQUIRE(size_of(type) == 2, "bfloat16 or float16", type, "Cast the tensor.");
  return with_shape(size, [&]<class Shape>() {
    const auto run = [&]<class T>() -> Status {
      const auto kernel = absmax == nullptr ? hadamard_tall_columns_kernel<Shape, false, T> : hadamard_tall_columns_kernel<Shape, true, T>;
      HALO_CUDA_RETURN_IF_ERROR(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, Shape::kBytes));
      const TileGrid grid = grid_of<Shape>(columns, blocks);
      return cuda::launch(kernel, dim3(static_cast<unsigned>(std::min(grid.tiles, cuda::multiprocessors()))), kThreads, Shape::kBytes, stream,
                          static_cast<const T*>(x), static_cast<T*>(y), absmax, columns, grid, scale);
    };
    return type == DType::kBFloat16 ? run.template operator()<BFloat16>() : run.template operator()<Float16>();
  });
}

}  // namespace halo
