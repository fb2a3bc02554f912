// Vectors along columns, powers of two from 256 to 1024, of 16-bit numbers: whole vectors in tiles of shared memory, through which results go back.
#include "ops/hadamard_transform/hadamard_column_tiles.cuh"
#include "ops/hadamard_transform/hadamard_kernels.h"

namespace halo {

namespace {

using namespace hadamard_columns;

/// H_n = S_inner (x) S_outer, outer 16 `outer_steps`: row r of a vector is (r / outer, r % outer). Tiles have `tile_packs` packs of columns, of which warps
/// take as many at a time as `pack_rounds` leave. `tiles`: that a block has in shared memory, two where it walks and the next is on its way.
template <int inner_rows, int outer_steps, int tile_packs, int pack_rounds, int blocks, int tiles>
struct ColumnsShape {
  static constexpr int kInner = inner_rows, kSteps = outer_steps, kPacks = tile_packs, kRounds = pack_rounds, kBlocks = blocks, kTiles = tiles;
  static constexpr int kThreads = cuda::kWarp * kSteps * kPacks / kRounds, kRows = 16 * kInner * kSteps, kColumns = kPacks * kPackElements;
  static constexpr int kElements = kRows * kColumns, kBytes = kElements * 2 * kTiles;
};

/// 16 rows of S_outer, `part`, times all of one pack of columns, whose place the results take. S_outer on the matrix units, whose operands are numbers as they
/// were read: exact but for the sums in float32. S_inner by additions, since a lane has all of it. All warps of a pack come here at once.
template <class Shape, bool has_max, class T>
__device__ void transform_pack(T* tile, int pack, int part, const uint32_t (&base)[4], float scale, cuda::LargestOfWords<T, has_max>& largest) {
  constexpr int kInner = Shape::kInner, kSteps = Shape::kSteps, kStepElements = 16 * Shape::kColumns;
  const int lane = static_cast<int>(threadIdx.x) % cuda::kWarp;
  const T* loaded = tile + place<Shape>(lane % 16 + lane / 16 * 16 * kSteps, pack);  // operands of two rows of S_inner
  float sums[kInner / 2][2][4] = {};
#pragma unroll 1
  for (int step = 0; step < kSteps; ++step) {
    uint32_t signs[4];
    power_signs(part, step, base, signs);
#pragma unroll
    for (int n = 0; n < kInner / 2; ++n) {
      uint32_t b[4];
      cuda::load_matrices<true>(loaded + (2 * n * kSteps + step) * kStepElements, b);
      cuda::multiply_add<T>(sums[n][0], signs, b[0], b[1]);
      cuda::multiply_add<T>(sums[n][1], signs, b[2], b[3]);
    }
  }
  if constexpr (kSteps > 1) {
    __syncthreads();
  } else {
    __syncwarp();
  }
  within_pairs(sums);
  across_tiles<std::countr_zero(static_cast<unsigned>(kInner / 2))>(sums);
  T* own = tile + place<Shape>(16 * part + lane / 4, pack) + lane % 4 * 2;
#pragma unroll
  for (int n = 0; n < kInner / 2; ++n) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {  // rows lane / 4 and 8 on, of both
      const float(&four)[4] = sums[n][i / 2];
      const uint32_t word = cuda::packed_pair<T>(four[i % 2 * 2] * scale, four[i % 2 * 2 + 1] * scale);
      largest.take(word);
      *reinterpret_cast<uint32_t*>(own + (2 * n + i / 2) * kSteps * kStepElements + i % 2 * 8 * Shape::kColumns) = word;
    }
  }
}

/// A block has whole vectors of some columns, and walks where it has two tiles. Rows come and go by 16 bytes a lane, 64 or 128 bytes side by side: by 32, a
/// copy would have two thirds of its speed. Reads and writes each element once; shared memory moves 6 + outer / 8 bytes an element; bound by memory.
template <class Shape, bool has_max, class T>
__global__ void __launch_bounds__(Shape::kThreads, Shape::kBlocks)
    hadamard_columns_kernel(const T* x, T* y, [[maybe_unused]] float* absmax, int64_t columns, TileGrid grid, float scale) {
  constexpr int kStepRows = Shape::kThreads / Shape::kPacks, kCopies = Shape::kRows / kStepRows, kStepElements = kStepRows * Shape::kColumns;
  const int thread = static_cast<int>(threadIdx.x), warp = thread / cuda::kWarp, blocks = static_cast<int>(gridDim.x);
  const int row = thread / Shape::kPacks, pack = thread % Shape::kPacks, copied = place<Shape>(row, pack);
  const auto start_copies = [&](int at, T* tile) {
    const int64_t column = grid.column(at) + pack * kPackElements;
    const bool is_inside = column < columns;
    const T* from = x + (grid.row(at) + row) * columns + (is_inside ? column : 0);
#pragma unroll
    for (int n = 0; n < kCopies; ++n) {
      cuda::copy_async_of_line(tile + copied + n * kStepElements, from, is_inside);
      from += kStepRows * columns;
    }
    cuda::commit_copies();
  };
  uint32_t base[4];
  fill_signs<T>(base);
  cuda::LargestOfWords<T, has_max> largest;  // columns beyond the last are zeros
  T *tile = cuda::dynamic_shared<T>(), *next_tile = tile + (Shape::kTiles - 1) * Shape::kElements;
  int at = static_cast<int>(blockIdx.x);
  start_copies(at, tile);
  for (bool is_last = false; !is_last; at += blocks) {
    is_last = at + blocks >= grid.tiles;
    cuda::wait_for_copies<0>();
    __syncthreads();
    if (!is_last) start_copies(at + blocks, next_tile);
#pragma unroll 1
    for (int round = 0; round < Shape::kRounds; ++round) {
      transform_pack<Shape, has_max, T>(tile, round * (Shape::kPacks / Shape::kRounds) + warp / Shape::kSteps, warp % Shape::kSteps, base, scale, largest);
    }
    __syncthreads();
    const int64_t column = grid.column(at) + pack * kPackElements;
    if (column < columns) {
      T* to = y + (grid.row(at) + row) * columns + column;
#pragma unroll 8
      for (int n = 0; n < kCopies; ++n) {
        using Pack = cuda::Pack<T, kPackElements>;
        *reinterpret_cast<Pack*>(to) = *reinterpret_cast<const Pack*>(tile + copied + n * kStepElements);
        to += kStepRows * columns;
      }
    }
    T* const last_tile = tile;
    tile = next_tile;
    next_tile = last_tile;
  }
  if constexpr (has_max) {
    __shared__ uint32_t scratch[cuda::kWarp];
    cuda::raise_absolute_max(largest.magnitude(), absmax, scratch);
  }
}

/// Calls f.operator()<Shape>() with the shape of a size; of 256, should it have none. A block that walks raises the maximum once for all of its tiles.
template <bool has_max, class F>
auto with_shape(int64_t size, F&& f) {
  if (size == 1024) return f.template operator()<ColumnsShape<32, 2, 4, 1, 1, 2>>();
  if (size == 512) return f.template operator()<ColumnsShape<32, 1, 8, 2, 3, 1>>();
  return f.template operator()<std::conditional_t<has_max, ColumnsShape<16, 1, 8, 1, 2, 2>, ColumnsShape<16, 1, 8, 1, 3, 1>>>();
}

template <bool has_max, class T>
Status run(const void* x, void* y, float* absmax, int64_t columns, int64_t size, int64_t blocks, float scale, cudaStream_t stream) {
  return with_shape<has_max>(size, [&]<class Shape>() -> Status {
    const auto kernel = hadamard_columns_kernel<Shape, has_max, T>;
    HALO_CUDA_RETURN_IF_ERROR(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, Shape::kBytes));
    const TileGrid grid = grid_of<Shape>(columns, blocks);
    const int walking = cuda::multiprocessors() * Shape::kBlocks;
    return cuda::launch(kernel, dim3(static_cast<unsigned>(Shape::kTiles > 1 && walking < grid.tiles ? walking : grid.tiles)), Shape::kThreads, Shape::kBytes,
                        stream, static_cast<const T*>(x), static_cast<T*>(y), absmax, columns, grid, scale);
  });
}

}  // namespace

bool hadamard_columns_supports(DType type, const void* x, const void* y, int64_t columns, int64_t size) {
  if (size_of(type) != 2 || columns % kPackElements != 0 || !cuda::is_aligned(x, 16) || !cuda::is_aligned(y, 16)) return false;
  // A maximum takes a little of the memory too.
  return with_shape<true>(size, [&]<class Shape>() { return Shape::kRows == size && Shape::kBytes <= cuda::most_shared_bytes() - 1024; });
}

Status hadamard_columns_cuda(DType type, const void* x, void* y, float* absmax, int64_t columns, int64_t size, int64_t blocks, float scale,
                             cudaStream_t stream) {
  HALO_REQUIRE(size_of(type) == 2, "bfloat16 or float16", type, "Cast the tensor.");
  const auto run_with = [&]<class T>() {
    return absmax == nullptr ? run<false, T>(x, y, absmax, columns, size, blocks, scale, stream)
                             : run<true, T>(x, y, absmax, columns, size, blocks, scale, stream);
  };
  return type == DType::kBFloat16 ? run_with.template operator()<BFloat16>() : run_with.template operator()<Float16>();
}

}  // namespace halo
