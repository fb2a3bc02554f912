#include "ops/hadamard_transform/hadamard_transform.h"

#include <algorithm>
#include <cmath>

#include "common/hadamard_matrix.h"
#include "ops/hadamard_transform/hadamard_kernels.h"
#include "ops/hadamard_transform/hadamard_tile.cuh"
#include "provider/kernels/absolute_max.cuh"

namespace halo {

namespace {

using namespace hadamard_tile;

constexpr int kMostThreads = 512;

/// Elements that a tile should have, so that several blocks share a multiprocessor.
constexpr int64_t kTileElements = 8192;

/// Elements of a thread: one group of the most levels.
constexpr int64_t kThreadElements = 32;

/// Blocks that a multiprocessor has at a time at most, and its shared memory. [CUDA, compute capability 9.0]
constexpr int64_t kBlocksOfOne = 8, kSharedOfOne = int64_t{227} << 10;

/// What memory moves at least.
constexpr int64_t kSectorBytes = 32;

/// Where the tile lies: element e of vector v at e * step + v * stride behind the block's first.
struct TileLayout {
  int64_t vectors, step, stride, blocks_step;
  bool along_columns;  // vectors are neighbours in memory
  int width_log2;
  cuda::Divider size;
};

/// Where element i of the tile lies in the matrix: i counts (vector, element) along rows, (element, vector) along columns.
__device__ inline int64_t location(const TileLayout& layout, int i, int64_t first_vector, bool* is_inside) {
  int vector, element;
  if (layout.along_columns) {
    vector = i & ((1 << layout.width_log2) - 1);
    element = i >> layout.width_log2;
  } else {
    vector = static_cast<int>(layout.size.quotient(static_cast<uint32_t>(i)));
    element = i - vector * static_cast<int>(layout.size.divisor);
  }
  *is_inside = first_vector + vector < layout.vectors;
  return element * layout.step + (first_vector + vector) * layout.stride;
}

/// Packs of neighbours that a thread loads before it stores the first.
constexpr int kInFlight = 4;

/// Brings this block's elements into the tile, zeros for vectors that are not there.
template <int width, class T>
__device__ void load_tile(const T* x, const TileLayout& layout, int elements, int64_t first_vector, float* tile) {
  const int stride = static_cast<int>(blockDim.x) * width;
  for (int first = static_cast<int>(threadIdx.x) * width; first < elements; first += kInFlight * stride) {
    cuda::Pack<T, width> packs[kInFlight];
#pragma unroll
    for (int n = 0; n < kInFlight; ++n) {
      const int i = first + n * stride;
      bool is_inside = false;
      const int64_t at = i < elements ? location(layout, i, first_vector, &is_inside) : 0;
      if (is_inside) {
        packs[n] = *reinterpret_cast<const cuda::Pack<T, width>*>(x + at);
      } else {
#pragma unroll
        for (int e = 0; e < width; ++e) packs[n].values[e] = from_float<T>(0.0f);
      }
    }
#pragma unroll
    for (int n = 0; n < kInFlight; ++n) {
      const int i = first + n * stride;
      if (i >= elements) continue;
#pragma unroll
      for (int e = 0; e < width; ++e) tile[padded(i) + e] = to_float(packs[n].values[e]);  // a pack lies within 32 elements
    }
  }
}

/// Steps of 16 for the largest K on the matrix units: 172. Larger ones, of Paley's, go by plain sums.
constexpr int kMostSteps = 11, kFewSteps = 4;

/// Blocks that registers must suffice for: a float32 is three operands.
template <int steps, class T>
constexpr int kLeastBlocks = steps < kMostSteps || !std::is_same_v<T, float> ? 2 : 1;

/// What a block has: `width` vectors of K 2^k elements. A_K first, on the numbers as they were read (its factor and S commute), then S, of which a pack's own
/// levels wait for the store, then the scale. Reads and writes each element once; bound by memory where K is small, else by the instructions around the matrix
/// units. `steps`: of K, 0 for K = 1 and for plain sums. grid: (blocks that walk over all vectors, blocks of H of this size).
template <int width, int steps, class T>
__global__ void __launch_bounds__(kMostThreads, kLeastBlocks<steps, T>)
    hadamard_transform_kernel(const T* x, T* y, float* absmax, TileLayout layout, SignRule rule, int log2, bool inverse, float scale) {
  constexpr int kPackLevels = width == 8 ? 3 : (width == 4 ? 2 : 0);
  auto* tile = cuda::dynamic_shared<float>();
  const int vectors = 1 << layout.width_log2, elements = static_cast<int>(layout.size.divisor) * vectors, order = rule.size();
  const int unit_log2 = layout.along_columns ? layout.width_log2 : 0, inner_log2 = log2 + unit_log2;
  auto* words = reinterpret_cast<uint32_t*>(tile + padded(elements));
  const Signs signs{words, order, (order + 31) / 32};
  const Columns columns{layout.along_columns ? 1 << inner_log2 : 1 << (inner_log2 + layout.width_log2), order, inner_log2};
  x += blockIdx.y * layout.blocks_step;
  y += blockIdx.y * layout.blocks_step;
  for (int i = static_cast<int>(threadIdx.x); order > 1 && i < (order + 15) / 16 * 16 * signs.row_words; i += static_cast<int>(blockDim.x)) {
    const int row = i / signs.row_words, first = i % signs.row_words * 32;
    uint32_t word = 0;  // bit n: the sign in row `row`, column first + n
    for (int n = 0; n < 32 && row < order && first + n < order; ++n) {
      word |= static_cast<uint32_t>(inverse ? rule.is_minus(row, first + n) : rule.is_minus(first + n, row)) << n;
    }
    words[i] = word;
  }
  uint32_t largest = 0;
  const auto rounded = [&](float value) {
    const T result = from_float<T>(value);
    largest = cuda::LargerOf()(largest, cuda::magnitude_of(result));
    return result;
  };
  for (int64_t first_vector = static_cast<int64_t>(blockIdx.x) * vectors; first_vector < layout.vectors;
       first_vector += static_cast<int64_t>(gridDim.x) * vectors) {
    load_tile<width>(x, layout, elements, first_vector, tile);
    __syncthreads();
    if constexpr (steps > 0) {
      multiply_columns<steps, T>(tile, signs, columns);
      __syncthreads();
    }
    // A thread stores packs of neighbours along the vector: the levels among them cost it nothing but additions.
    const bool has_pack_levels = kPackLevels > 0 && !layout.along_columns && log2 >= kPackLevels && (steps > 0 || order == 1);
    transform_levels(tile, elements, has_pack_levels ? kPackLevels : 0, log2, unit_log2);
    if (steps == 0 && order > 1) {
      for (int i = static_cast<int>(threadIdx.x); i < order * columns.count; i += static_cast<int>(blockDim.x)) {
        const int row = i / columns.count, from = columns.first(i % columns.count);
        float sum = 0;
        for (int j = 0; j < order; ++j) {
          const float value = tile[padded(from + (j << inner_log2))];
          sum += signs.is_minus(row, j) ? -value : value;
        }
        bool is_inside = false;
        const int64_t to = location(layout, from + (row << inner_log2), first_vector, &is_inside);
        if (is_inside) y[to] = rounded(sum * scale);
      }
    } else {
      for (int i = static_cast<int>(threadIdx.x) * width; i < elements; i += static_cast<int>(blockDim.x) * width) {
        bool is_inside = false;
        const int64_t to = location(layout, i, first_vector, &is_inside);
        if (!is_inside) continue;
        float values[width];
#pragma unroll
        for (int e = 0; e < width; ++e) values[e] = tile[padded(i) + e];
        if constexpr (kPackLevels > 0) {
          if (has_pack_levels) butterflies<kPackLevels>(values);
        }
        cuda::Pack<T, width> pack;
#pragma unroll
        for (int e = 0; e < width; ++e) pack.values[e] = rounded(values[e] * scale);
        *reinterpret_cast<cuda::Pack<T, width>*>(y + to) = pack;
      }
    }
    __syncthreads();
  }
  if (absmax != nullptr) cuda::raise_absolute_max(largest, absmax, reinterpret_cast<uint32_t*>(tile));
}

/// Of a block: its vectors and the signs of A_K, and at least a number a warp, where the tile of short vectors has less.
int64_t shared_bytes(int64_t size, int64_t width, int64_t order) {
  const int64_t words = order == 1 ? 0 : cuda::ceil_div(order, 16) * 16 * cuda::ceil_div(order, 32);
  return std::max<int64_t>(padded(size * width) + words, cuda::kWarp) * 4;
}

/// Vectors of one block: a tile of kTileElements along rows; along columns a power of two, whole sectors of memory where they fit, more of short vectors.
int64_t width_for(int64_t size, int64_t order, int64_t vectors, bool along_columns, int64_t element_bytes) {
  const int64_t blocks = 2 * cuda::multiprocessors();
  const int64_t wanted = along_columns ? std::max<int64_t>(kSectorBytes / element_bytes, kTileElements / size)
                                       : std::clamp<int64_t>(cuda::ceil_div(vectors, blocks), 1, std::max<int64_t>(1, kTileElements / size));
  int64_t width = 1;
  while (2 * width <= std::min<int64_t>(wanted, 64) && shared_bytes(size, 2 * width, order) <= cuda::most_shared_bytes()) width *= 2;
  return width;
}

/// The kernel for K in packs of `width`.
template <int width, class T>
auto kernel_for(int64_t order) {
  if (order == 1 || order > 16 * kMostSteps) return hadamard_transform_kernel<width, 0, T>;
  return order <= 16 * kFewSteps ? hadamard_transform_kernel<width, kFewSteps, T> : hadamard_transform_kernel<width, kMostSteps, T>;
}

}  // namespace

bool hadamard_transform_supports_cuda(int64_t size) {
  const HadamardOrder found = hadamard_order(size);
  return found.order > 0 && shared_bytes(size, 1, found.order) <= cuda::most_shared_bytes();
}

Status hadamard_transform_cuda(DType type, const void* x, void* y, float* absmax, int64_t rows, int64_t columns, int axis, const int64_t* blocks,
                               int64_t blocks_count, bool inverse, cudaStream_t stream) {
  const bool along_columns = axis == 0;
  TileLayout layout{.vectors = along_columns ? columns : rows,
                    .step = along_columns ? columns : 1,
                    .stride = along_columns ? 1 : columns,
                    .blocks_step = 0,
                    .along_columns = along_columns,
                    .width_log2 = 0,
                    .size = {}};
  HALO_RETURN_IF_ERROR(cuda::clear_absolute_max(absmax, stream));
  if (rows * columns == 0) return {};
  int64_t start = 0;
  for (int64_t first = 0, last = 0; first < blocks_count; first = last) {
    const int64_t size = blocks[first];
    for (last = first + 1; last < blocks_count && blocks[last] == size;) ++last;
    HALO_REQUIRE(hadamard_transform_supports_cuda(size),
                 "a block with a Hadamard matrix, one vector of which fits in " << cuda::most_shared_bytes() << " bytes of shared memory", size,
                 "Take the blocks from Hadamard.Blocks.");
    HALO_REQUIRE(last - first <= cuda::kMostBlocksYZ, "at most " << cuda::kMostBlocksYZ << " blocks of one size", last - first, "Take larger blocks.");
    const HadamardOrder found = hadamard_order(size);
    const auto scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(size)));
    const int64_t offset = start * layout.step * size_of(type);
    const void* x_at = static_cast<const char*>(x) + offset;
    void* y_at = static_cast<char*>(y) + offset;
    start += size * (last - first);
    if (!along_columns && hadamard_rows_supports(type, x_at, y_at, columns, size)) {
      HALO_RETURN_IF_ERROR(hadamard_rows_cuda(type, x_at, y_at, absmax, rows, columns, size, last - first, scale, stream));
      continue;
    }
    if (!along_columns && hadamard_orders_supports(type, x_at, y_at, columns, size)) {
      HALO_RETURN_IF_ERROR(hadamard_orders_cuda(type, x_at, y_at, absmax, rows, columns, size, last - first, inverse, scale, stream));
      continue;
    }
    if (!along_columns && hadamard_large_orders_supports(type, x_at, y_at, columns, size)) {
      HALO_RETURN_IF_ERROR(hadamard_large_orders_cuda(type, x_at, y_at, absmax, rows, columns, size, last - first, inverse, scale, stream));
      continue;
    }
    if (along_columns && hadamard_columns_supports(type, x_at, y_at, columns, size)) {
      HALO_RETURN_IF_ERROR(hadamard_columns_cuda(type, x_at, y_at, absmax, columns, size, last - first, scale, stream));
      continue;
    }
    if (along_columns && hadamard_tall_columns_supports(type, x_at, y_at, columns, size)) {
      HALO_RETURN_IF_ERROR(hadamard_tall_columns_cuda(type, x_at, y_at, absmax, columns, size, last - first, scale, stream));
      continue;
    }
    if (along_columns && hadamard_long_columns_supports(type, x_at, y_at, columns, size)) {
      HALO_RETURN_IF_ERROR(hadamard_long_columns_cuda(type, x_at, y_at, absmax, columns, size, last - first, inverse, scale, stream));
      continue;
    }
    HALO_RETURN_IF_ERROR(cuda::dispatch_float(type, [&]<class T>() {
      const int64_t width = width_for(size, found.order, layout.vectors, along_columns, sizeof(T)), bytes = shared_bytes(size, width, found.order);
      layout.size = cuda::Divider(size);
      layout.width_log2 = std::countr_zero(static_cast<uint64_t>(width));
      layout.blocks_step = size * layout.step;
      const auto threads =
          static_cast<unsigned>(std::clamp<int64_t>(cuda::ceil_div(size * width, kThreadElements * cuda::kWarp) * cuda::kWarp, 64, kMostThreads));
      const T* from = static_cast<const T*>(x_at);
      T* to = static_cast<T*>(y_at);
      const auto are_packed = [&](int64_t pack) {
        const auto pack_bytes = pack * static_cast<int64_t>(sizeof(T));
        return cuda::is_aligned(from, pack_bytes) && cuda::is_aligned(to, pack_bytes) && columns % pack == 0 && (along_columns ? width : size) % pack == 0;
      };
      constexpr int kWhole = 16 / static_cast<int>(sizeof(T)), kHalf = 4;
      const auto kernel =
          are_packed(kWhole) ? kernel_for<kWhole, T>(found.order) : (are_packed(kHalf) ? kernel_for<kHalf, T>(found.order) : kernel_for<1, T>(found.order));
      HALO_CUDA_RETURN_IF_ERROR(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(bytes)));
      // Blocks with signs to make have several tiles, so that making them does not count.
      int64_t tiles = cuda::ceil_div(layout.vectors, width);
      if (found.order > 1) tiles = std::min(tiles, cuda::multiprocessors() * std::max<int64_t>(1, std::min(kBlocksOfOne, kSharedOfOne / bytes)));
      return cuda::launch(kernel, dim3(static_cast<unsigned>(tiles), static_cast<unsigned>(last - first)), threads, static_cast<size_t>(bytes), stream, from,
                          to, absmax, layout, hadamard_sign_rule(found.order), found.log2, inverse, scale);
    }));
  }
  HALO_REQUIRE(start == (along_columns ? rows : columns), "blocks that sum to the rotated axis, " << (along_columns ? rows : columns), start,
               "Rewrite the graph at this size.");
  return {};
}

}  // namespace halo
