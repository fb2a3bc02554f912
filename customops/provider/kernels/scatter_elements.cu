#include "provider/kernels/scatter.cuh"

namespace halo::cuda {

namespace {

constexpr int kThreads = 256;

/// An index below 0 counts from the end of an axis of `size`; what ONNX allows becomes one in [0, size).
template <class I>
__device__ int64_t from_start(I index, int64_t size) {
  const auto i = static_cast<int64_t>(index);
  return i < 0 ? i + size : i;
}

/// A thread has one update. Where others of its line have the same index, one thread takes them all, in order: the last without a reduction, which
/// overwrites, else the first.
template <class T, class I, ScatterReduction reduction>
__global__ void __launch_bounds__(kThreads)
    scatter_elements_kernel(const I* indices, Dims dims, const T* updates, T* y, Dims y_dims, int axis, int64_t stride, int64_t count) {
  const int64_t at = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (at >= count) return;
  // Along the axis: indices, elements of y, and the position of this update among the indices; `line`: the first update of its line.
  const int64_t length = dims.sizes[axis], size = y_dims.sizes[axis], position = at / stride % length, line = at - position * stride;
  const int64_t index = from_start(indices[at], size);
  if (index < 0 || index >= size) return;
  const bool overwrites = reduction == ScatterReduction::kNone;
  for (int64_t i = overwrites ? position + 1 : 0; i < (overwrites ? length : position); ++i) {
    if (from_start(indices[line + i * stride], size) == index) return;
  }
  int64_t rest = at, to = 0, y_stride = 1;
  for (int i = dims.rank - 1; i >= 0; --i) {
    to += (i == axis ? index : rest % dims.sizes[i]) * y_stride;
    rest /= dims.sizes[i];
    y_stride *= y_dims.sizes[i];
  }
  if constexpr (reduction == ScatterReduction::kNone) {
    y[to] = updates[at];
  } else {
    auto value = widened(y[to]);
    for (int64_t i = position; i < length; ++i) {
      if (from_start(indices[line + i * stride], size) == index) value = Update<reduction>()(value, widened(updates[line + i * stride]));
    }
    y[to] = narrowed<T>(value);
  }
}

template <class T, class I>
__global__ void __launch_bounds__(kThreads) poison_elements_kernel(const I* indices, T* y, int64_t size, int64_t count) {
  const int64_t at = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (at >= count) return;
  const int64_t index = from_start(indices[at], size);
  if (index < 0 || index >= size) poison(y);
}

}  // namespace

bool scatter_supports(ScatterReduction reduction, DType type) {
  switch (type) {
    case DType::kFloat:
    case DType::kBFloat16:
    case DType::kFloat16:
    case DType::kDouble:
    case DType::kInt32:
    case DType::kInt64:
      return true;
    default:
      return type == DType::kBool && reduction == ScatterReduction::kNone;
  }
}

Status scatter_elements(ScatterReduction reduction, DType type, const void* data, const Dims& data_dims, const Indices& indices, const Dims& indices_dims,
                        int axis, const void* updates, void* y, cudaStream_t stream) {
  HALO_REQUIRE(data_dims.rank == indices_dims.rank, "indices of the rank of data, " << data_dims.rank, indices_dims.rank, "Check the graph.");
  HALO_REQUIRE(axis >= 0 && axis < data_dims.rank, "an axis below " << data_dims.rank, axis, "Check the graph.");
  const int64_t count = indices_dims.count(), stride = indices_dims.count(axis + 1, indices_dims.rank);
  return dispatch_scatter(reduction, type, [&]<class T, ScatterReduction r>() {
    HALO_RETURN_IF_ERROR(copy_unless_same(data, y, data_dims.count() * static_cast<int64_t>(sizeof(T)), stream));
    return dispatch_index(indices.type, [&]<class I>() {
      const auto* i = static_cast<const I*>(indices.data);
      auto* out = static_cast<T*>(y);
      HALO_RETURN_IF_ERROR(launch(scatter_elements_kernel<T, I, r>, grid_for(count, kThreads), kThreads, 0, stream, i, indices_dims,
                                  static_cast<const T*>(updates), out, data_dims, axis, stride, count));
      return launch(poison_elements_kernel<T, I>, grid_for(count, kThreads), kThreads, 0, stream, i, out, data_dims.sizes[axis], count);
    });
  });
}

}  // namespace halo::cuda
