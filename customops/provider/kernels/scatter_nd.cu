#include <algorithm>

#include "provider/kernels/scatter.cuh"

namespace halo::cuda {

namespace {

constexpr int kThreads = 256;

/// keys[i] = the number of the slice of y that tuple i names, -1 where there is none.
template <class I>
__global__ void __launch_bounds__(kThreads) name_slices_kernel(const I* indices, Dims named, int64_t* keys, int64_t count) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (i >= count) return;
  int64_t key = 0;
  bool is_inside = true;
  for (int axis = 0; axis < named.rank; ++axis) {
    auto coordinate = static_cast<int64_t>(indices[i * named.rank + axis]);
    coordinate += coordinate < 0 ? named.sizes[axis] : 0;
    is_inside = is_inside && coordinate >= 0 && coordinate < named.sizes[axis];
    key = key * named.sizes[axis] + coordinate;
  }
  keys[i] = is_inside ? key : -1;
}

/// Sorts by counting: the sorted position of update i is the number of those with a smaller key, or with the same one and an earlier number. A warp has one
/// update, and a block reads all keys through shared memory.
__global__ void __launch_bounds__(kThreads) order_updates_kernel(const int64_t* keys, int64_t* sorted, int32_t* order, int64_t count) {
  __shared__ int64_t tile[kThreads];
  const int64_t i = (static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x) / kWarp;  // the update, the same for all lanes of a warp
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int64_t key = i < count ? keys[i] : 0;
  int32_t position = 0;
  for (int64_t first = 0; first < count; first += kThreads) {
    if (first + threadIdx.x < count) tile[threadIdx.x] = keys[first + threadIdx.x];
    __syncthreads();
    const int64_t left = count - first, length = left < kThreads ? left : kThreads;
#pragma unroll
    for (int j = lane; j < kThreads; j += kWarp) position += j < length && (tile[j] < key || (tile[j] == key && first + j < i)) ? 1 : 0;
    __syncthreads();
  }
  position = over_warp(SumOf(), position);
  if (i >= count || lane != 0) return;
  sorted[position] = key;
  order[position] = static_cast<int32_t>(i);
}

/// A block has the updates of one slice, from the first of them in order on, and some columns. grid: (updates, columns).
template <class T, ScatterReduction reduction>
__global__ void __launch_bounds__(kThreads)
    scatter_slices_kernel(const int64_t* sorted, const int32_t* order, const T* updates, T* y, int64_t count, int64_t inner) {
  const int64_t first = blockIdx.x, key = sorted[first];
  if (key < 0 || (first > 0 && sorted[first - 1] == key)) return;
  int64_t end = first + 1;  // behind the last of this key, found by halving
  for (int64_t high = count; end < high;) {
    const int64_t middle = (end + high) / 2;
    (sorted[middle] == key ? end : high) = sorted[middle] == key ? middle + 1 : middle;
  }
  for (int64_t column = static_cast<int64_t>(blockIdx.y) * blockDim.x + threadIdx.x; column < inner; column += static_cast<int64_t>(gridDim.y) * blockDim.x) {
    T* to = y + key * inner + column;
    if constexpr (reduction == ScatterReduction::kNone) {
      *to = updates[order[end - 1] * inner + column];
    } else {
      auto value = widened(*to);
#pragma unroll 4
      for (int64_t i = first; i < end; ++i) value = Update<reduction>()(value, widened(updates[order[i] * inner + column]));
      *to = narrowed<T>(value);
    }
  }
}

template <class T>
__global__ void poison_slices_kernel(const int64_t* sorted, T* y) {
  if (sorted[0] < 0) poison(y);
}

}  // namespace

int64_t scatter_nd_workspace(const Dims& indices_dims) {
  return indices_dims.rank == 0
             ? 0
             : indices_dims.count(0, indices_dims.rank - 1) * (2 * static_cast<int64_t>(sizeof(int64_t)) + static_cast<int64_t>(sizeof(int32_t)));
}

Status scatter_nd(ScatterReduction reduction, DType type, const void* data, const Dims& data_dims, const Indices& indices, const Dims& indices_dims,
                  const void* updates, void* y, void* workspace, int64_t workspace_bytes, cudaStream_t stream) {
  HALO_REQUIRE(indices_dims.rank > 0, "indices of one axis or more", indices_dims.rank, "Check the graph.");
  const int64_t named_axes = indices_dims.sizes[indices_dims.rank - 1], count = indices_dims.count(0, indices_dims.rank - 1);
  HALO_REQUIRE(named_axes >= 1 && named_axes <= data_dims.rank, "tuples that name 1 to " << data_dims.rank << " axes of data", named_axes, "Check the graph.");
  HALO_REQUIRE(count <= INT32_MAX, "at most " << INT32_MAX << " updates", count, "Take a smaller batch or a shorter sequence.");
  HALO_REQUIRE(workspace_bytes >= scatter_nd_workspace(indices_dims), scatter_nd_workspace(indices_dims) << " bytes of workspace", workspace_bytes,
               "Ask scatter_nd_workspace.");
  Dims named{.rank = static_cast<int>(named_axes)};
  for (int i = 0; i < named.rank; ++i) named.sizes[i] = data_dims.sizes[i];
  const int64_t inner = data_dims.count(named.rank, data_dims.rank);
  auto* keys = static_cast<int64_t*>(workspace);
  int64_t* sorted = keys + count;
  auto* order = reinterpret_cast<int32_t*>(sorted + count);
  return dispatch_scatter(reduction, type, [&]<class T, ScatterReduction r>() -> Status {
    HALO_RETURN_IF_ERROR(copy_unless_same(data, y, data_dims.count() * static_cast<int64_t>(sizeof(T)), stream));
    if (count == 0 || inner == 0) return {};
    HALO_RETURN_IF_ERROR(dispatch_index(indices.type, [&]<class I>() {
      return launch(name_slices_kernel<I>, grid_for(count, kThreads), kThreads, 0, stream, static_cast<const I*>(indices.data), named, keys, count);
    }));
    HALO_RETURN_IF_ERROR(launch(order_updates_kernel, grid_for(count, kThreads / kWarp), kThreads, 0, stream, keys, sorted, order, count));
    const auto threads = static_cast<unsigned>(std::min<int64_t>(kThreads, ceil_div(inner, kWarp) * kWarp));
    const dim3 grid(static_cast<unsigned>(count), static_cast<unsigned>(std::min<int64_t>(ceil_div(inner, threads), 65535)));
    auto* out = static_cast<T*>(y);
    HALO_RETURN_IF_ERROR(launch(scatter_slices_kernel<T, r>, grid, threads, 0, stream, sorted, order, static_cast<const T*>(updates), out, count, inner));
    return launch(poison_slices_kernel<T>, 1, 1, 0, stream, sorted, out);
  });
}

}  // namespace halo::cuda
