// Vectors along columns, a power of two from 64 to 4096 long, of 16-bit numbers: S_16 on the matrix units, the other levels by additions.
#include <algorithm>

#include "ops/hadamard_transform/hadamard_kernels.h"
#include "ops/hadamard_transform/hadamard_units.cuh"

namespace halo {

namespace {

using namespace hadamard_units;

/// A block has one tile at a time, 32768 elements, and a thread 64 of them.
constexpr int kThreads = 512, kWarps = kThreads / cuda::kWarp, kUnits = 2, kTileBytes = kThreads * 64 * static_cast<int>(sizeof(float));

/// Columns of a pack: 16 bytes are loaded at a time; of a chunk: 16 bytes of float32.
constexpr int kPack = 8, kChunk = 4;

/// A tile of `packs` packs side by side: 1024 rows of 32 columns, 2048 of 16, 4096 of 8.
template <int packs>
struct Tile {
  static constexpr int kColumns = packs * kPack, kChunks = packs * (kPack / kChunk);
  /// Rows that share an operand beside those of S_16, then rows of a unit, of a warp, and of the tile.
  static constexpr int kBeside = 8 / packs, kUnitRows = 16 * kBeside, kWarpRows = kUnits * kUnitRows, kRows = kWarps * kWarpRows;

  /// Where a chunk of the tile lies: eight lanes that write, and eight that read, meet different banks.
  __device__ static int slot(int row, int chunk) {
    const int at = row * kChunks + chunk;
    return packs == 4 ? at ^ (row & 1) : at ^ (row >> 4 & 1) ^ (packs == 2 ? 0 : row >> 1 & 4);
  }
};

/// What the matrix units leave of a unit in a lane, (column of a pack, place): places differ in the row beside (bit 0) and in bit 3 of S_16's row (bit 1). Does
/// the levels beside, those between the lanes of a quad by giving half away, after which the lane's bit and the place's have changed meanings.
template <int packs>
__device__ void levels_beside(float (&sums)[kPack][4], int quad_lane) {
#pragma unroll
  for (int j = 0; j < kPack; ++j) {
#pragma unroll
    for (int i = 0; i < 4; i += 2) {
      const float a = sums[j][i], b = sums[j][i + 1];
      sums[j][i] = a + b;
      sums[j][i + 1] = a - b;
      if constexpr (packs <= 2) across_lanes(sums[j][i], sums[j][i + 1], 1, (quad_lane & 1) != 0);
    }
    if constexpr (packs == 1) {
      across_lanes(sums[j][0], sums[j][2], 2, (quad_lane & 2) != 0);
      across_lanes(sums[j][1], sums[j][3], 2, (quad_lane & 2) != 0);
    }
  }
}

/// The row in the unit, and the pack, of a place of a lane behind levels_beside.
template <int packs>
__device__ int row_of(int place, int group, int quad_lane) {
  const int low = place & 1, high = place >> 1, first = quad_lane & 1;
  const int beside = packs == 4 ? low : (packs == 2 ? low * 2 + first : high * 4 + low * 2 + first);
  return beside * 16 + (packs == 1 ? quad_lane >> 1 : high) * 8 + group;
}

template <int packs>
__device__ int pack_of(int quad_lane) {
  return packs == 4 ? quad_lane : (packs == 2 ? quad_lane >> 1 : 0);
}

/// Of a unit a lane loads four rows of a pack; two rows of a column are an operand of the matrix units by a permutation of bytes, so that S_16 is exact on
/// numbers as they were read. Its sums have whole packs of a row in a lane. A warp does the levels within its 64 to 256 rows, hands float32 over in shared
/// memory, and a thread does those between warps, `levels` of them, on 4 columns of 16 rows. The next tile is on its way from when its registers are free.
/// Reads and writes each element once; bound by memory. grid: blocks that walk over tiles, those of a row of tiles first.
template <int packs, bool has_max, class T>
__global__ void __launch_bounds__(kThreads, 1) hadamard_columns_kernel(const T* x, T* y, [[maybe_unused]] float* absmax, int64_t rows, int64_t columns,
                                                                       cuda::Divider across, int tiles, int levels, float scale) {
  using Sizes = Tile<packs>;
  using Words = cuda::Pack<uint32_t, 4>;
  using Floats = cuda::Pack<float, kChunk>;
  auto* exchanged = cuda::dynamic_shared<Floats>();
  const int thread = static_cast<int>(threadIdx.x), lane = thread % cuda::kWarp, warp = thread / cuda::kWarp, group = lane / 4, quad_lane = lane % 4;
  const auto place_of = [&](int tile, int64_t* row, int64_t* column) {
    const auto down = across.quotient(static_cast<uint32_t>(tile));
    *row = static_cast<int64_t>(down) * Sizes::kRows;
    *column = (static_cast<int64_t>(tile) - static_cast<int64_t>(down) * across.divisor) * Sizes::kColumns;
  };
  uint32_t signs[4];
  fill_signs<T>(signs);
  Words words[kUnits][4];
  const auto load = [&](int tile, int u) {
    int64_t row = 0, column = 0;
    place_of(tile, &row, &column);
    row += warp * Sizes::kWarpRows + u * Sizes::kUnitRows;
    column += group / Sizes::kBeside * kPack;
    const bool is_inside = tile < tiles && row < rows && column < columns;  // vectors are whole: of a unit all rows are there, or none
    const T* from = x + (row + group % Sizes::kBeside * 16 + 2 * quad_lane) * columns + column;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      words[u][i] = {};
      if (is_inside) words[u][i] = *reinterpret_cast<const Words*>(from + (i % 2 + i / 2 * 8) * columns);
    }
  };
#pragma unroll
  for (int u = 0; u < kUnits; ++u) load(static_cast<int>(blockIdx.x), u);
  cuda::LargestOfWords<T, has_max> largest;  // columns and rows beyond the last are zeros
  for (int tile = static_cast<int>(blockIdx.x); tile < tiles; tile += static_cast<int>(gridDim.x)) {
    float sums[kUnits][kPack][4];
#pragma unroll
    for (int u = 0; u < kUnits; ++u) {
#pragma unroll
      for (int j = 0; j < kPack; ++j) {
        const uint32_t halves = j % 2 == 0 ? 0x5410 : 0x7632;
        cuda::multiply<T>(sums[u][j], signs, __byte_perm(words[u][0].values[j / 2], words[u][1].values[j / 2], halves),
                          __byte_perm(words[u][2].values[j / 2], words[u][3].values[j / 2], halves));
      }
      load(tile + static_cast<int>(gridDim.x), u);
      levels_beside<packs>(sums[u], quad_lane);
    }
    __syncthreads();  // what was exchanged for the tile before was read by all
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int row = warp * Sizes::kWarpRows + row_of<packs>(i, group, quad_lane);
#pragma unroll
      for (int half = 0; half < kPack / kChunk; ++half) {
        Floats both[kUnits];
#pragma unroll
        for (int j = 0; j < kChunk; ++j) {
          const float a = sums[0][kChunk * half + j][i], b = sums[1][kChunk * half + j][i];
          both[0].values[j] = a + b;
          both[1].values[j] = a - b;
        }
        const int chunk = pack_of<packs>(quad_lane) * (kPack / kChunk) + half;
#pragma unroll
        for (int u = 0; u < kUnits; ++u) exchanged[Sizes::slot(row + u * Sizes::kUnitRows, chunk)] = both[u];
      }
    }
    __syncthreads();
    const int own_row = thread / Sizes::kChunks, own_chunk = thread % Sizes::kChunks;
    float values[kWarps][kChunk];
#pragma unroll
    for (int w = 0; w < kWarps; ++w) {
      const Floats chunk = exchanged[Sizes::slot(w * Sizes::kWarpRows + own_row, own_chunk)];
#pragma unroll
      for (int j = 0; j < kChunk; ++j) values[w][j] = chunk.values[j];
    }
#pragma unroll
    for (int level = 0; level < 4; ++level) {
#pragma unroll
      for (int w = 0; w < kWarps; ++w) {
        if (level >= levels || (w & (1 << level)) != 0) continue;
#pragma unroll
        for (int j = 0; j < kChunk; ++j) {
          const float a = values[w][j], b = values[w | (1 << level)][j];
          values[w][j] = a + b;
          values[w | (1 << level)][j] = a - b;
        }
      }
    }
    int64_t row = 0, column = 0;
    place_of(tile, &row, &column);
    row += own_row;
    column += own_chunk * kChunk;
    T* to = y + row * columns + column;
#pragma unroll
    for (int w = 0; w < kWarps; ++w) {
      cuda::Pack<uint32_t, 2> packed;
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        packed.values[i] = cuda::packed_pair<T>(values[w][2 * i] * scale, values[w][2 * i + 1] * scale);
        largest.take(packed.values[i]);
      }
      if (row + w * Sizes::kWarpRows < rows && column < columns) *reinterpret_cast<cuda::Pack<uint32_t, 2>*>(to) = packed;
      to += Sizes::kWarpRows * columns;
    }
  }
  if constexpr (has_max) {
    __shared__ uint32_t scratch[cuda::kWarp];
    cuda::raise_absolute_max(largest.magnitude(), absmax, scratch);
  }
}

/// Packs side by side in the tile of a size, 0 where none has whole vectors of it.
int packs_of(int64_t size) {
  if ((size & (size - 1)) != 0 || size < Tile<4>::kWarpRows) return 0;
  return size <= Tile<4>::kRows ? 4 : (size <= Tile<2>::kRows ? 2 : (size <= Tile<1>::kRows ? 1 : 0));
}

template <int packs, class T>
Status run(const T* x, T* y, float* absmax, int64_t columns, int64_t size, int64_t blocks, float scale, cudaStream_t stream) {
  using Sizes = Tile<packs>;
  const auto kernel = absmax == nullptr ? hadamard_columns_kernel<packs, false, T> : hadamard_columns_kernel<packs, true, T>;
  HALO_CUDA_RETURN_IF_ERROR(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, kTileBytes));
  const int64_t rows = size * blocks, across = cuda::ceil_div(columns, Sizes::kColumns), tiles = across * cuda::ceil_div(rows, Sizes::kRows);
  const auto grid = static_cast<unsigned>(std::min<int64_t>(tiles, cuda::multiprocessors()));
  const int levels = std::countr_zero(static_cast<uint64_t>(size / Sizes::kWarpRows));
  return cuda::launch(kernel, grid, kThreads, kTileBytes, stream, x, y, absmax, rows, columns, cuda::Divider(across), static_cast<int>(tiles), levels, scale);
}

}  // namespace

bool hadamard_columns_supports(DType type, const void* x, const void* y, int64_t columns, int64_t size) {
  return packs_of(size) > 0 && size_of(type) == 2 && columns % kPack == 0 && cuda::is_aligned(x, 16) && cuda::is_aligned(y, 16) &&
         cuda::most_shared_bytes() >= kTileBytes + cuda::kWarp * static_cast<int>(sizeof(uint32_t));
}

Status hadamard_columns_cuda(DType type, const void* x, void* y, float* absmax, int64_t columns, int64_t size, int64_t blocks, float scale,
                             cudaStream_t stream) {
  const auto run_typed = [&]<class T>() -> Status {
    const auto* from = static_cast<const T*>(x);
    auto* to = static_cast<T*>(y);
    switch (packs_of(size)) {
      case 4:
        return run<4, T>(from, to, absmax, columns, size, blocks, scale, stream);
      case 2:
        return run<2, T>(from, to, absmax, columns, size, blocks, scale, stream);
      default:
        return run<1, T>(from, to, absmax, columns, size, blocks, scale, stream);
    }
  };
  HALO_REQUIRE(size_of(type) == 2, "bfloat16 or float16", type, "Cast the tensor.");
  return type == DType::kBFloat16 ? run_typed.template operator()<BFloat16>() : run_typed.template operator()<Float16>();
}

}  // namespace halo
