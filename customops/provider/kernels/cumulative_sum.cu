#include "provider/kernels/device.cuh"
#include "provider/kernels/reduce.h"

namespace halo::cuda {

namespace {

/// Columns and positions of one tile: a block's 256 threads sum 8 x 32 of them.
constexpr int kPositions = 8;

/// A block has 32 neighbouring (outer, inner) pairs and walks along the axis, tile by tile, in order. Reads and writes each element once.
template <class T, class V>
__global__ void __launch_bounds__(256) cumulative_sum_kernel(const T* x, T* y, int64_t pairs, int64_t size, int64_t inner, bool exclusive, bool reverse) {
  __shared__ V tile[kPositions][kWarp + 1];
  const int64_t pair = static_cast<int64_t>(blockIdx.x) * kWarp + threadIdx.x;
  const int64_t base = pair < pairs ? pair / inner * size * inner + pair % inner : 0;
  const int position = static_cast<int>(threadIdx.y);  // in the tile, below kPositions
  V before = 0;
  // `first` and `step`: positions along the axis in the order of summing; `at`: the element of x and y.
  for (int64_t first = 0; first < size; first += kPositions) {
    const int64_t step = first + position, at = base + (reverse ? size - 1 - step : step) * inner;
    const bool is_inside = pair < pairs && step < size;
    tile[position][threadIdx.x] = is_inside ? static_cast<V>(widened(x[at])) : V(0);
    __syncthreads();
    V sum = before, total = before;
    for (int i = 0; i < kPositions; ++i) {
      if (i < position || (i == position && !exclusive)) sum += tile[i][threadIdx.x];
      total += tile[i][threadIdx.x];
    }
    if (is_inside) y[at] = narrowed<T>(sum);
    before = total;
    __syncthreads();
  }
}

}  // namespace

Status cumulative_sum(DType type, const void* x, void* y, int64_t outer, int64_t size, int64_t inner, bool exclusive, bool reverse, cudaStream_t stream) {
  if (outer * size * inner == 0) return {};
  return dispatch_number(type, [&]<class T>() {
    using V = std::conditional_t<std::is_integral_v<T>, int64_t, Real<T>>;
    return launch(cumulative_sum_kernel<T, V>, grid_for(outer * inner, kWarp), dim3(kWarp, kPositions), 0, stream, static_cast<const T*>(x), static_cast<T*>(y),
                  outer * inner, size, inner, exclusive, reverse);
  });
}

}  // namespace halo::cuda
