#include "provider/kernels/gather.h"

#include "provider/kernels/movement.cuh"

namespace halo::cuda {

namespace {

constexpr int kThreads = 256;

template <class T>
__device__ T poison() {
  if constexpr (std::is_same_v<T, uint4>) {
    return uint4{~0u, ~0u, ~0u, ~0u};
  } else {
    return static_cast<T>(~T(0));
  }
}

/// A thread moves one element, of up to 16 bytes, of a slice; neighbours move neighbours. Reads and writes each once; bound by memory.
template <class T, class I>
__global__ void __launch_bounds__(kThreads)
    gather_kernel(const T* data, const I* indices, T* y, int64_t count, Divider indices_count, int64_t size, Divider inner) {
  const int64_t at = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (at >= count) return;
  const int64_t row = count < (int64_t{1} << 31) ? inner.quotient(static_cast<uint32_t>(at)) : at / inner.divisor;  // of (outer, indices)
  const int64_t column = at - row * inner.divisor, outer = indices_count.quotient(static_cast<uint32_t>(row));
  int64_t index = static_cast<int64_t>(indices[row - outer * indices_count.divisor]);
  index += index < 0 ? size : 0;
  y[at] = index >= 0 && index < size ? data[(outer * size + index) * inner.divisor + column] : poison<T>();
}

template <class T, class I>
__global__ void __launch_bounds__(kThreads) gather_elements_kernel(const T* data, Dims data_dims, const I* indices, Dims dims, int axis, T* y, int64_t count) {
  const int64_t at = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (at >= count) return;
  // `from`: the element of data, the sum of coordinate x stride over the axes; `rest`: the element of indices along the axes that are left.
  int64_t rest = at, from = 0, stride = 1;
  bool is_inside = true;
  for (int i = dims.rank - 1; i >= 0; --i) {
    int64_t coordinate = rest % dims.sizes[i];
    rest /= dims.sizes[i];
    if (i == axis) {
      coordinate = static_cast<int64_t>(indices[at]);
      coordinate += coordinate < 0 ? data_dims.sizes[i] : 0;
      is_inside = coordinate >= 0 && coordinate < data_dims.sizes[i];
    }
    from += coordinate * stride;
    stride *= data_dims.sizes[i];
  }
  y[at] = is_inside ? data[from] : poison<T>();
}

/// `named`: the sizes of the axes that a tuple names; `slices`: tuples of one batch.
template <class T, class I>
__global__ void __launch_bounds__(kThreads) gather_nd_kernel(const T* data, Dims named, const I* indices, T* y, int64_t count, int64_t slices, int64_t inner) {
  const int64_t at = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (at >= count) return;
  const int64_t slice = at / inner;
  int64_t from = slice / slices;  // the batch, then the slice of data, of `inner` elements
  bool is_inside = true;
  for (int i = 0; i < named.rank; ++i) {
    int64_t coordinate = static_cast<int64_t>(indices[slice * named.rank + i]);
    coordinate += coordinate < 0 ? named.sizes[i] : 0;
    is_inside = is_inside && coordinate >= 0 && coordinate < named.sizes[i];
    from = from * named.sizes[i] + coordinate;
  }
  y[at] = is_inside ? data[from * inner + at % inner] : poison<T>();
}

}  // namespace

Status gather(int64_t element_size, const void* data, const Indices& indices, int64_t count, void* y, int64_t outer, int64_t size, int64_t inner,
              cudaStream_t stream) {
  if (outer * count * inner == 0) return {};
  while (element_size < 16 && inner % 2 == 0 && is_aligned(data, 2 * element_size) && is_aligned(y, 2 * element_size)) {
    element_size *= 2;
    inner /= 2;
  }
  HALO_REQUIRE(outer * count <= INT32_MAX, "at most " << INT32_MAX << " slices", outer * count, "Take a smaller batch or a shorter sequence.");
  HALO_REQUIRE(inner <= INT32_MAX, "slices of at most " << INT32_MAX << " words of " << element_size << " bytes", inner, "Reshape the tensor.");
  const int64_t elements = outer * count * inner;
  return dispatch_wide(element_size, [&]<class T>() {
    return dispatch_index(indices.type, [&]<class I>() {
      return launch(gather_kernel<T, I>, grid_for(elements, kThreads), kThreads, 0, stream, static_cast<const T*>(data), static_cast<const I*>(indices.data),
                    static_cast<T*>(y), elements, Divider(count), size, Divider(inner));
    });
  });
}

Status gather_elements(int64_t element_size, const void* data, const Dims& data_dims, const Indices& indices, const Dims& indices_dims, int axis, void* y,
                       cudaStream_t stream) {
  HALO_REQUIRE(data_dims.rank == indices_dims.rank, "indices of the rank of data, " << data_dims.rank, indices_dims.rank, "Check the graph.");
  HALO_REQUIRE(axis >= 0 && axis < data_dims.rank, "an axis below " << data_dims.rank, axis, "Check the graph.");
  const int64_t count = indices_dims.count();
  return dispatch_size(element_size, [&]<class T>() {
    return dispatch_index(indices.type, [&]<class I>() {
      return launch(gather_elements_kernel<T, I>, grid_for(count, kThreads), kThreads, 0, stream, static_cast<const T*>(data), data_dims,
                    static_cast<const I*>(indices.data), indices_dims, axis, static_cast<T*>(y), count);
    });
  });
}

Status gather_nd(int64_t element_size, const void* data, const Dims& data_dims, const Indices& indices, const Dims& indices_dims, int batch_axes, void* y,
                 cudaStream_t stream) {
  HALO_REQUIRE(indices_dims.rank > batch_axes, "indices of more than " << batch_axes << " axes, those of the batch", indices_dims.rank, "Check the graph.");
  const int64_t named_axes = indices_dims.sizes[indices_dims.rank - 1];
  HALO_REQUIRE(named_axes >= 1 && batch_axes + named_axes <= data_dims.rank, "tuples that name 1 to " << data_dims.rank - batch_axes << " axes of data",
               named_axes, "Check the graph.");
  Dims named{.rank = static_cast<int>(named_axes)};
  for (int i = 0; i < named.rank; ++i) named.sizes[i] = data_dims.sizes[batch_axes + i];
  const int64_t slices = indices_dims.count(batch_axes, indices_dims.rank - 1), inner = data_dims.count(batch_axes + named.rank, data_dims.rank);
  const int64_t count = indices_dims.count(0, indices_dims.rank - 1) * inner;
  if (count == 0) return {};
  return dispatch_size(element_size, [&]<class T>() {
    return dispatch_index(indices.type, [&]<class I>() {
      return launch(gather_nd_kernel<T, I>, grid_for(count, kThreads), kThreads, 0, stream, static_cast<const T*>(data), named,
                    static_cast<const I*>(indices.data), static_cast<T*>(y), count, slices, inner);
    });
  });
}

}  // namespace halo::cuda
