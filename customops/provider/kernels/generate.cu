// Elements that come from an index: Pad, Trilu, ConstantOfShape, Range, OneHot.
#include "provider/kernels/movement.cuh"

namespace halo::cuda {

namespace {

constexpr int kThreads = 256;

__device__ inline int64_t thread_number() { return static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x; }

/// A thread writes one element of y.
template <class T>
__global__ void __launch_bounds__(kThreads)
    pad_kernel(const T* x, Dims x_dims, PerAxis begins, PadMode mode, const T* value, T* y, Dims y_dims, int64_t count) {
  const int64_t at = thread_number();
  if (at >= count) return;
  int64_t rest = at, from = 0, stride = 1;
  bool is_inside = true;
  for (int axis = y_dims.rank - 1; axis >= 0; --axis) {
    const int64_t size = x_dims.sizes[axis];
    int64_t i = rest % y_dims.sizes[axis] - begins.values[axis];
    rest /= y_dims.sizes[axis];
    if (mode == PadMode::kEdge) i = i < 0 ? 0 : (i >= size ? size - 1 : i);
    if (mode == PadMode::kReflect && size > 1) {
      const int64_t period = 2 * (size - 1);
      i = (i % period + period) % period;
      i = i < size ? i : period - i;
    }
    is_inside = is_inside && i >= 0 && i < size;
    from += i * stride;
    stride *= size;
  }
  y[at] = is_inside ? x[from] : (value != nullptr ? *value : T(0));
}

template <class T>
__global__ void __launch_bounds__(kThreads) triangle_kernel(const T* x, T* y, int64_t count, int64_t rows, int64_t columns, int64_t k, bool upper) {
  const int64_t at = thread_number();
  if (at >= count) return;
  const int64_t row = at / columns % rows, column = at % columns;
  const bool is_kept = upper ? column - row >= k : column - row <= k;
  y[at] = is_kept ? x[at] : T(0);
}

/// Bytes are written 16 at a time where y begins at a multiple of 16; a thread has 16.
__global__ void __launch_bounds__(kThreads) fill_kernel(uint64_t pattern, unsigned char* y, int64_t bytes, bool is_aligned) {
  const int64_t at = thread_number() * 16;
  if (at >= bytes) return;
  if (is_aligned && at + 16 <= bytes) {
    const auto low = static_cast<uint32_t>(pattern), high = static_cast<uint32_t>(pattern >> 32);
    *reinterpret_cast<uint4*>(y + at) = uint4{low, high, low, high};
    return;
  }
  for (int64_t i = at; i < at + 16 && i < bytes; ++i) y[i] = static_cast<unsigned char>(pattern >> (8 * (i % 8)));
}

template <class T>
__global__ void __launch_bounds__(kThreads) range_kernel(T start, T delta, T* y, int64_t count) {
  const int64_t at = thread_number();
  if (at < count) y[at] = start + static_cast<T>(at) * delta;
}

template <class T, class I>
__global__ void __launch_bounds__(kThreads) one_hot_kernel(const I* indices, const T* values, T* y, int64_t count, int64_t depth, int64_t inner) {
  const int64_t at = thread_number();
  if (at >= count) return;
  const int64_t position = at / inner % depth;
  int64_t index = static_cast<int64_t>(indices[at / (depth * inner) * inner + at % inner]);
  index += index < 0 ? depth : 0;
  y[at] = values[index == position ? 1 : 0];
}

}  // namespace

Status pad(int64_t element_size, PadMode mode, const void* x, const Dims& x_dims, const PerAxis& begins, const void* value, void* y, const Dims& y_dims,
           cudaStream_t stream) {
  HALO_REQUIRE(x_dims.rank == y_dims.rank, "as many axes as x has, " << x_dims.rank, y_dims.rank, "Check the graph.");
  const int64_t count = y_dims.count();
  HALO_REQUIRE(mode == PadMode::kConstant || x_dims.count() > 0 || count == 0, "elements to repeat", "an empty tensor", "Pad with a constant.");
  return dispatch_size(element_size, [&]<class T>() {
    return launch(pad_kernel<T>, grid_for(count, kThreads), kThreads, 0, stream, static_cast<const T*>(x), x_dims, begins, mode, static_cast<const T*>(value),
                  static_cast<T*>(y), y_dims, count);
  });
}

Status triangle(int64_t element_size, const void* x, void* y, int64_t batch, int64_t rows, int64_t columns, int64_t k, bool upper, cudaStream_t stream) {
  const int64_t count = batch * rows * columns;
  return dispatch_size(element_size, [&]<class T>() {
    return launch(triangle_kernel<T>, grid_for(count, kThreads), kThreads, 0, stream, static_cast<const T*>(x), static_cast<T*>(y), count, rows, columns, k,
                  upper);
  });
}

Status fill(int64_t element_size, uint64_t bits, void* y, int64_t count, cudaStream_t stream) {
  HALO_REQUIRE(element_size == 1 || element_size == 2 || element_size == 4 || element_size == 8, "elements of 1, 2, 4 or 8 bytes", element_size,
               "Report the graph.");
  uint64_t pattern = element_size == 8 ? bits : bits & ((uint64_t{1} << (8 * element_size)) - 1);
  for (int64_t size = element_size; size < 8; size *= 2) pattern |= pattern << (8 * size);
  const int64_t bytes = count * element_size;
  return launch(fill_kernel, grid_for(bytes, 16 * kThreads), kThreads, 0, stream, pattern, static_cast<unsigned char*>(y), bytes, is_aligned(y, 16));
}

Status range(DType type, const void* start, const void* delta, void* y, int64_t count, cudaStream_t stream) {
  return dispatch(TypeList<float, double, int32_t, int64_t>(), type, [&]<class T>() {
    return launch(range_kernel<T>, grid_for(count, kThreads), kThreads, 0, stream, *static_cast<const T*>(start), *static_cast<const T*>(delta),
                  static_cast<T*>(y), count);
  });
}

Status one_hot(int64_t element_size, const Indices& indices, const void* values, void* y, int64_t outer, int64_t depth, int64_t inner, cudaStream_t stream) {
  const int64_t count = outer * depth * inner;
  return dispatch_size(element_size, [&]<class T>() {
    return dispatch_index(indices.type, [&]<class I>() {
      return launch(one_hot_kernel<T, I>, grid_for(count, kThreads), kThreads, 0, stream, static_cast<const I*>(indices.data), static_cast<const T*>(values),
                    static_cast<T*>(y), count, depth, inner);
    });
  });
}

}  // namespace halo::cuda
