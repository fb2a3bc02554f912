#include "ops/hadamard_transform/hadamard_transform.h"

#include <algorithm>
#include <cmath>

#include "common/hadamard_matrix.h"
#include "provider/kernels/device.cuh"

namespace halo {

namespace {

constexpr int kMostThreads = 1024;

/// Levels of the Walsh-Hadamard transform that a thread does in registers: 16 elements.
constexpr int kLevels = 4;

/// Elements that a tile should have, so that several blocks share a multiprocessor.
constexpr int64_t kTileElements = 8192;

/// Rows of A_K that a thread multiplies by at once: the bits of one byte.
constexpr int kSignRows = 8;

/// What a multiprocessor lends one block at most, on Hopper. Larger GPUs lend no less.
constexpr int64_t kSharedBytes = 227 * 1024;

/// An element more in each 32: accesses 16 apart fall into different banks.
__host__ __device__ inline int64_t padded(int64_t i) { return i + (i >> 5); }

__device__ inline int padded(int i) { return i + (i >> 5); }

/// Where the tile lies: element e of vector v at e * step + v * stride behind the block's first.
struct Place {
  int64_t vectors, step, stride, blocks_step;
  bool along_columns;  // vectors are neighbours in memory
  int width_log2;
  cuda::Divider size;
};

template <int levels>
__device__ void butterflies(float (&x)[1 << levels]) {
#pragma unroll
  for (int half = 1; half < (1 << levels); half *= 2) {
#pragma unroll
    for (int i = 0; i < (1 << levels); ++i) {
      if ((i & half) != 0) continue;
      const float a = x[i], b = x[i + half];
      x[i] = a + b;
      x[i + half] = a - b;
    }
  }
}

/// `levels` levels at distance `step` = 2^step_log2 and on. A thread reads and writes 2^levels elements a time.
template <int levels>
__device__ void transform_levels(float* tile, int elements, int step_log2) {
  const int step = 1 << step_log2;
  for (int group = static_cast<int>(threadIdx.x); group < elements >> levels; group += static_cast<int>(blockDim.x)) {
    const int low = group & (step - 1), base = ((group >> step_log2) << (step_log2 + levels)) + low;
    float x[1 << levels];
#pragma unroll
    for (int i = 0; i < (1 << levels); ++i) x[i] = tile[padded(base + (i << step_log2))];
    butterflies<levels>(x);
#pragma unroll
    for (int i = 0; i < (1 << levels); ++i) tile[padded(base + (i << step_log2))] = x[i];
  }
  __syncthreads();
}

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

/// A block has `width` vectors of `size` = K 2^k elements: all levels of S, then A_K by rows of eight signs a byte, then the scale.
/// Reads and writes each element once; bound by memory where K is small, by K additions an element where it is not.
/// grid: (vectors / width, blocks of H of this size).
template <class T>
__global__ void __launch_bounds__(kMostThreads)
    hadamard_transform_kernel(const T* x, T* y, Place place, SignRule rule, int log2, cuda::Divider groups_divider, bool inverse, float scale) {
  auto* tile = cuda::dynamic_shared<float>();
  const int width = 1 << place.width_log2, elements = static_cast<int>(place.size.divisor) * width, order = rule.size();
  const int unit_log2 = place.along_columns ? place.width_log2 : 0;
  auto* signs = reinterpret_cast<uint8_t*>(tile + padded(elements) + 1);
  const int64_t first_vector = static_cast<int64_t>(blockIdx.x) * width, base = blockIdx.y * place.blocks_step;
  for (int i = static_cast<int>(threadIdx.x); i < elements; i += static_cast<int>(blockDim.x)) {
    bool is_inside;
    const int64_t at = location(place, i, first_vector, &is_inside);
    tile[padded(i)] = is_inside ? to_float(x[base + at]) : 0.0f;
  }
  const int groups = (order + kSignRows - 1) / kSignRows;
  for (int i = static_cast<int>(threadIdx.x); order > 1 && i < groups * order; i += static_cast<int>(blockDim.x)) {
    const int first = i / order * kSignRows, column = i % order;
    uint32_t bits = 0;
    for (int n = 0; n < kSignRows && first + n < order; ++n) {
      bits |= static_cast<uint32_t>(inverse ? rule.is_minus(first + n, column) : rule.is_minus(column, first + n)) << n;
    }
    signs[i] = static_cast<uint8_t>(bits);
  }
  __syncthreads();
  int level = 0;
  for (; level + kLevels <= log2; level += kLevels) transform_levels<kLevels>(tile, elements, unit_log2 + level);
  if (log2 - level == 3) transform_levels<3>(tile, elements, unit_log2 + level);
  if (log2 - level == 2) transform_levels<2>(tile, elements, unit_log2 + level);
  if (log2 - level == 1) transform_levels<1>(tile, elements, unit_log2 + level);
  if (order == 1) {
    for (int i = static_cast<int>(threadIdx.x); i < elements; i += static_cast<int>(blockDim.x)) {
      bool is_inside;
      const int64_t at = location(place, i, first_vector, &is_inside);
      if (is_inside) y[base + at] = from_float<T>(tile[padded(i)] * scale);
    }
    return;
  }
  // Rows of A_K mix elements `inner` apart. A task is eight of them at one place of `inner`.
  const int inner_log2 = log2 + unit_log2, inner = 1 << inner_log2, outer = place.along_columns ? 1 : width;
  for (int task = static_cast<int>(threadIdx.x); task < outer * groups * inner; task += static_cast<int>(blockDim.x)) {
    const int at = task & (inner - 1), out = static_cast<int>(groups_divider.quotient(static_cast<uint32_t>(task >> inner_log2)));
    const int group = (task >> inner_log2) - out * groups;
    const uint8_t* bits = signs + group * order;
    float sums[kSignRows] = {};
    for (int j = 0; j < order; ++j) {
      const float value = tile[padded((out * order + j) * inner + at)];
      const uint32_t own = bits[j];
#pragma unroll
      for (int n = 0; n < kSignRows; ++n) sums[n] += std::bit_cast<float>(std::bit_cast<uint32_t>(value) ^ ((own << (31 - n)) & 0x80000000u));
    }
    for (int n = 0; n < kSignRows; ++n) {
      const int row = group * kSignRows + n;
      if (row >= order) break;
      bool is_inside;
      const int64_t to = location(place, (out * order + row) * inner + at, first_vector, &is_inside);
      if (is_inside) y[base + to] = from_float<T>(sums[n] * scale);
    }
  }
}

int64_t sign_bytes(int64_t order) { return order == 1 ? 0 : cuda::ceil_div(order, kSignRows) * order; }

int64_t shared_bytes(int64_t size, int64_t width, int64_t order) {
  return (padded(size * width) + 1) * static_cast<int64_t>(sizeof(float)) + sign_bytes(order);
}

/// Vectors of one block: a tile of kTileElements along rows; along columns a power of two, eight where they fit, more of short vectors.
int64_t width_for(int64_t size, int64_t order, int64_t vectors, bool along_columns) {
  const int64_t blocks = 2 * cuda::multiprocessors();
  const int64_t wanted = along_columns ? std::max<int64_t>(8, kTileElements / size)
                                       : std::clamp<int64_t>(cuda::ceil_div(vectors, blocks), 1, std::max<int64_t>(1, kTileElements / size));
  int64_t width = 1;
  while (2 * width <= std::min<int64_t>(wanted, 64) && shared_bytes(size, 2 * width, order) <= kSharedBytes) width *= 2;
  return width;
}

}  // namespace

bool hadamard_transform_supports_cuda(int64_t size) {
  const HadamardOrder found = hadamard_order(size);
  return found.order > 0 && shared_bytes(size, 1, found.order) <= kSharedBytes;
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
    const int64_t width = width_for(size, found.order, place.vectors, along_columns), bytes = shared_bytes(size, width, found.order);
    place.blocks_step = size * place.step;
    place.size = cuda::Divider(size);
    place.width_log2 = std::countr_zero(static_cast<uint64_t>(width));
    const cuda::Divider groups(cuda::ceil_div(found.order, kSignRows));
    const auto threads = static_cast<unsigned>(std::clamp<int64_t>(cuda::ceil_div(size * width, 16 * cuda::kWarp) * cuda::kWarp, 64, kMostThreads));
    const auto scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(size)));
    HALO_CUDA_RETURN_IF_ERROR(cuda::dispatch_float(type, [&]<class T>() {
      HALO_CUDA_RETURN_IF_ERROR(cudaFuncSetAttribute(hadamard_transform_kernel<T>, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(bytes)));
      return cuda::launch(hadamard_transform_kernel<T>, dim3(cuda::grid_for(place.vectors, width), static_cast<unsigned>(last - first)), threads,
                          static_cast<size_t>(bytes), stream, static_cast<const T*>(x) + start * place.step, static_cast<T*>(y) + start * place.step, place,
                          hadamard_sign_rule(found.order), found.log2, groups, inverse, scale);
    }));
    start += size * (last - first);
  }
  return start == (along_columns ? rows : columns) ? cudaSuccess : cudaErrorInvalidValue;
}

}  // namespace halo
