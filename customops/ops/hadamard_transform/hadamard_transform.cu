#include "ops/hadamard_transform/hadamard_transform.h"

#include <algorithm>
#include <cmath>

#include "common/hadamard_matrix.h"
#include "ops/hadamard_transform/hadamard_tile.cuh"

namespace halo {

namespace {

using namespace hadamard_tile;

constexpr int kMostThreads = 512;

/// Elements that a tile should have, so that several blocks share a multiprocessor.
constexpr int64_t kTileElements = 8192;

/// Where the tile lies: element e of vector v at e * step + v * stride behind the block's first.
struct Place {
  int64_t vectors, step, stride, blocks_step;
  bool along_columns;  // vectors are neighbours in memory
  int width_log2;
  cuda::Divider size;
};

/// Where element i of the tile lies in the matrix: i counts (vector, element) along rows, (element, vector) along columns.
__device__ inline int64_t location(const Place& place, int i, int64_t first_vector, bool* is_inside) {
  int vector, element;
  if (place.along_columns) {
    vector = i & ((1 << place.width_log2) - 1);
    element = i >> place.width_log2;
  } else {
    vector = static_cast<int>(place.size.quotient(static_cast<uint32_t>(i)));
    element = i - vector * static_cast<int>(place.size.divisor);
  }
  *is_inside = first_vector + vector < place.vectors;
  return element * place.step + (first_vector + vector) * place.stride;
}

/// Packs of neighbours that a thread loads before it stores the first.
constexpr int kInFlight = 4;

/// Calls f(tile index, place in the matrix, whether inside) for this thread's packs of `width` elements, kInFlight at a time: `load` of all, then `use` of all.
template <int width, class Load, class Use>
__device__ void for_packs(const Place& place, int elements, int64_t first_vector, Load&& load, Use&& use) {
  const int packs = elements / width, threads = static_cast<int>(blockDim.x);
  for (int first = static_cast<int>(threadIdx.x); first < packs; first += kInFlight * threads) {
#pragma unroll
    for (int n = 0; n < kInFlight; ++n) {
      const int i = (first + n * threads) * width;
      bool is_inside = false;
      const int64_t at = i < elements ? location(place, i, first_vector, &is_inside) : 0;
      load(n, i, at, is_inside);
    }
#pragma unroll
    for (int n = 0; n < kInFlight; ++n) {
      const int i = (first + n * threads) * width;
      if (i < elements) use(n, i);
    }
  }
}

/// A block has `width` vectors of K 2^k elements: all levels of S, then A_K by eight rows and four places at a time, then the scale. Signs are bits, or, where
/// they fit, numbers, with which a row costs one instruction an element.
/// Reads and writes each element once; bound by memory where K is small, by K additions an element where it is not.
/// grid: (vectors / width, blocks of H of this size).
template <int width, bool are_numbers, class T>
__global__ void __launch_bounds__(kMostThreads) hadamard_transform_kernel(const T* x, T* y, Place place, SignRule rule, int log2, bool inverse, float scale) {
  auto* tile = cuda::dynamic_shared<float>();
  const int vectors = 1 << place.width_log2, elements = static_cast<int>(place.size.divisor) * vectors, order = rule.size();
  const int unit_log2 = place.along_columns ? place.width_log2 : 0;
  float* numbers = tile + (padded(elements) + 4) / 4 * 4;
  auto* bits = reinterpret_cast<uint8_t*>(numbers);
  const int64_t first_vector = static_cast<int64_t>(blockIdx.x) * vectors;
  x += blockIdx.y * place.blocks_step;
  y += blockIdx.y * place.blocks_step;
  cuda::Pack<T, width> packs[kInFlight];
  for_packs<width>(
      place, elements, first_vector,
      [&](int n, int, int64_t at, bool is_inside) {
        if (is_inside) {
          packs[n] = *reinterpret_cast<const cuda::Pack<T, width>*>(x + at);
        } else {
#pragma unroll
          for (int e = 0; e < width; ++e) packs[n].values[e] = from_float<T>(0.0f);
        }
      },
      [&](int n, int i) {
#pragma unroll
        for (int e = 0; e < width; ++e) tile[padded(i) + e] = to_float(packs[n].values[e]);  // a pack lies within 32 elements
      });
  const int groups = (order + kSignRows - 1) / kSignRows;
  for (int i = static_cast<int>(threadIdx.x); order > 1 && i < groups * order; i += static_cast<int>(blockDim.x)) {
    const int group = static_cast<int>(static_cast<uint32_t>(i) / static_cast<uint32_t>(order)), column = i - group * order;
    uint32_t own = 0;
    for (int n = 0; n < kSignRows && group * kSignRows + n < order; ++n) {
      const int row = group * kSignRows + n;
      own |= static_cast<uint32_t>(inverse ? rule.is_minus(row, column) : rule.is_minus(column, row)) << n;
    }
    if constexpr (are_numbers) {
      for (int n = 0; n < kSignRows; ++n) numbers[i * kSignRows + n] = ((own >> n) & 1) != 0 ? -scale : scale;
    } else {
      bits[i] = static_cast<uint8_t>(own);
    }
  }
  __syncthreads();
  int level = 0;
  for (; level + kLevels <= log2; level += kLevels) transform_levels<kLevels>(tile, elements, unit_log2 + level);
  if (log2 - level == 3) transform_levels<3>(tile, elements, unit_log2 + level);
  if (log2 - level == 2) transform_levels<2>(tile, elements, unit_log2 + level);
  if (log2 - level == 1) transform_levels<1>(tile, elements, unit_log2 + level);
  if (order == 1) {
    int64_t places[kInFlight];
    for_packs<width>(
        place, elements, first_vector, [&](int n, int, int64_t at, bool is_inside) { places[n] = is_inside ? at : -1; },
        [&](int n, int i) {
          if (places[n] < 0) return;
          cuda::Pack<T, width> pack;
#pragma unroll
          for (int e = 0; e < width; ++e) pack.values[e] = from_float<T>(tile[padded(i) + e] * scale);
          *reinterpret_cast<cuda::Pack<T, width>*>(y + places[n]) = pack;
        });
    return;
  }
  const int inner_log2 = log2 + unit_log2, inner = 1 << inner_log2, places_log2 = inner_log2 + (place.along_columns ? 0 : place.width_log2);
  // A task is eight rows at `positions` of the 2^places_log2 places, which lie evenly apart.
  const auto run_tasks = [&]<int positions>() {
    const int share_log2 = places_log2 - (positions == 4 ? 2 : 0), share = 1 << share_log2;
    for (int task = static_cast<int>(threadIdx.x); task < groups << share_log2; task += static_cast<int>(blockDim.x)) {
      const int group = task >> share_log2;
      int first[positions];
      float sums[positions][kSignRows];
#pragma unroll
      for (int p = 0; p < positions; ++p) {
        const int at = (task & (share - 1)) + (p << share_log2);
        first[p] = (at >> inner_log2) * order * inner + (at & (inner - 1));
      }
      multiply_signs<positions, are_numbers>(tile, numbers, first, inner, order, group, sums);
#pragma unroll
      for (int n = 0; n < kSignRows; ++n) {
        const int row = group * kSignRows + n;
#pragma unroll
        for (int p = 0; p < positions; ++p) {
          bool is_inside = false;
          const int64_t to = row < order ? location(place, first[p] + row * inner, first_vector, &is_inside) : 0;
          if (is_inside) y[to] = from_float<T>(are_numbers ? sums[p][n] : sums[p][n] * scale);
        }
      }
    }
  };
  if (places_log2 >= 2) {
    run_tasks.template operator()<4>();
  } else {
    run_tasks.template operator()<1>();
  }
}

int64_t sign_bytes(int64_t order, bool are_numbers) {
  const int64_t signs = order == 1 ? 0 : cuda::ceil_div(order, kSignRows) * order;
  return are_numbers ? signs * kSignRows * static_cast<int64_t>(sizeof(float)) : signs;
}

int64_t shared_bytes(int64_t size, int64_t width, int64_t order, bool are_numbers) {
  return (padded(size * width) + 4) / 4 * 4 * static_cast<int64_t>(sizeof(float)) + sign_bytes(order, are_numbers);
}

/// Vectors of one block: a tile of kTileElements along rows; along columns a power of two, eight where they fit, more of short vectors.
int64_t width_for(int64_t size, int64_t order, int64_t vectors, bool along_columns) {
  const int64_t blocks = 2 * cuda::multiprocessors();
  const int64_t wanted = along_columns ? std::max<int64_t>(8, kTileElements / size)
                                       : std::clamp<int64_t>(cuda::ceil_div(vectors, blocks), 1, std::max<int64_t>(1, kTileElements / size));
  int64_t width = 1;
  while (2 * width <= std::min<int64_t>(wanted, 64) && shared_bytes(size, 2 * width, order, false) <= cuda::most_shared_bytes()) width *= 2;
  return width;
}

}  // namespace

bool hadamard_transform_supports_cuda(int64_t size) {
  const HadamardOrder found = hadamard_order(size);
  return found.order > 0 && shared_bytes(size, 1, found.order, false) <= cuda::most_shared_bytes();
}

cudaError_t hadamard_transform_cuda(DType type, const void* x, void* y, int64_t rows, int64_t columns, int axis, const int64_t* blocks, int64_t blocks_count,
                                    bool inverse, cudaStream_t stream) {
  const bool along_columns = axis == 0;
  Place place{.vectors = along_columns ? columns : rows,
              .step = along_columns ? columns : 1,
              .stride = along_columns ? 1 : columns,
              .blocks_step = 0,
              .along_columns = along_columns,
              .width_log2 = 0,
              .size = {}};
  if (rows * columns == 0) return cudaSuccess;
  int64_t start = 0;
  for (int64_t first = 0, last = 0; first < blocks_count; first = last) {
    const int64_t size = blocks[first];
    for (last = first + 1; last < blocks_count && blocks[last] == size;) ++last;
    if (!hadamard_transform_supports_cuda(size)) return cudaErrorInvalidValue;
    const HadamardOrder found = hadamard_order(size);
    const int64_t width = width_for(size, found.order, place.vectors, along_columns);
    const bool are_numbers = found.order > 1 && shared_bytes(size, width, found.order, true) <= cuda::most_shared_bytes();
    const int64_t bytes = shared_bytes(size, width, found.order, are_numbers);
    place.size = cuda::Divider(size);
    place.width_log2 = std::countr_zero(static_cast<uint64_t>(width));
    place.blocks_step = size * place.step;
    // One group of levels a thread and pass, or one task of A_K.
    const int64_t each = found.order == 1 ? 16 : 32;
    const auto threads = static_cast<unsigned>(std::clamp<int64_t>(cuda::ceil_div(size * width, each * cuda::kWarp) * cuda::kWarp, 64, kMostThreads));
    const auto scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(size)));
    HALO_CUDA_RETURN_IF_ERROR(cuda::dispatch_float(type, [&]<class T>() {
      constexpr int kWidth = 16 / static_cast<int>(sizeof(T));
      const T* from = static_cast<const T*>(x) + start * place.step;
      T* to = static_cast<T*>(y) + start * place.step;
      const bool is_packed = cuda::is_aligned(from, 16) && cuda::is_aligned(to, 16) && columns % kWidth == 0 && (along_columns ? width : size) % kWidth == 0;
      const auto kernel = is_packed ? (are_numbers ? hadamard_transform_kernel<kWidth, true, T> : hadamard_transform_kernel<kWidth, false, T>)
                                    : (are_numbers ? hadamard_transform_kernel<1, true, T> : hadamard_transform_kernel<1, false, T>);
      HALO_CUDA_RETURN_IF_ERROR(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(bytes)));
      return cuda::launch(kernel, dim3(cuda::grid_for(place.vectors, width), static_cast<unsigned>(last - first)), threads, static_cast<size_t>(bytes), stream,
                          from, to, place, hadamard_sign_rule(found.order), found.log2, inverse, scale);
    }));
    start += size * (last - first);
  }
  return start == (along_columns ? rows : columns) ? cudaSuccess : cudaErrorInvalidValue;
}

}  // namespace halo
