// One kernel for functions of up to three elements with broadcasting: a functor says what is computed.
#pragma once

#include <algorithm>
#include <utility>

#include "provider/kernels/device.cuh"

namespace halo::cuda {

/// Axes of the result, the innermost first, those that all operands walk through alike taken together; strides in elements, 0 where broadcast.
template <int operands>
struct Layout {
  int rank = 1;
  int64_t inner = 1;                         // elements of the innermost axis
  bool is_packed = false;                    // every pack of the innermost axis can be loaded and stored whole
  Divider packs_inner;                       // packs of the innermost axis
  Divider sizes[kMaxRank];                   // of axis 1 and on
  int64_t strides[operands][kMaxRank] = {};  // of axis 0 and on
  int64_t size_of_axis[kMaxRank] = {};
};

/// The layout of operands that broadcast to y. False where they do not.
template <int operands>
bool make_layout(const Dims* const (&dims)[operands], const Dims& y, Layout<operands>* layout) {
  for (const Dims* d : dims) {
    if (d->rank > y.rank) return false;
    for (int axis = 0; axis < d->rank; ++axis) {
      const int64_t size = d->sizes[d->rank - 1 - axis];
      if (size != 1 && size != y.sizes[y.rank - 1 - axis]) return false;
    }
  }
  int rank = 0;
  int64_t sizes[kMaxRank] = {}, running[operands];
  std::fill(running, running + operands, int64_t{1});
  for (int axis = 0; axis < y.rank; ++axis) {
    const int64_t size = y.sizes[y.rank - 1 - axis];
    int64_t strides[operands];
    for (int i = 0; i < operands; ++i) {
      const int64_t operand_size = axis < dims[i]->rank ? dims[i]->sizes[dims[i]->rank - 1 - axis] : 1;
      strides[i] = operand_size == 1 ? 0 : running[i];
      running[i] *= operand_size;
    }
    if (size == 1) continue;
    bool joins = rank > 0;
    for (int i = 0; i < operands && joins; ++i) joins = strides[i] == layout->strides[i][rank - 1] * sizes[rank - 1];
    if (joins) {
      sizes[rank - 1] *= size;
      continue;
    }
    for (int i = 0; i < operands; ++i) layout->strides[i][rank] = strides[i];
    sizes[rank++] = size;
  }
  if (rank == 0) sizes[rank++] = 1;
  layout->rank = rank;
  layout->inner = sizes[0];
  for (int axis = 0; axis < rank; ++axis) layout->size_of_axis[axis] = sizes[axis];
  for (int axis = 1; axis < rank; ++axis) layout->sizes[axis] = Divider(std::max<int64_t>(1, sizes[axis]));
  return true;
}

/// `width` elements of an operand: whole, one by one, or one for all.
template <int width, class T>
__device__ void load_pack(const T* x, int64_t offset, int64_t inner_stride, bool is_packed, int count, T (&values)[width]) {
  if (inner_stride == 0) {
    const T value = x[offset];
#pragma unroll
    for (int i = 0; i < width; ++i) values[i] = value;
  } else if (is_packed) {
    const auto pack = *reinterpret_cast<const Pack<T, width>*>(x + offset);
#pragma unroll
    for (int i = 0; i < width; ++i) values[i] = pack.values[i];
  } else {
#pragma unroll
    for (int i = 0; i < width; ++i) {
      if (i < count) values[i] = x[offset + i];
    }
  }
}

template <int width, class T>
__device__ void store_pack(T* y, bool is_packed, int count, const T (&values)[width]) {
  if (is_packed) {
    Pack<T, width> pack;
#pragma unroll
    for (int i = 0; i < width; ++i) pack.values[i] = values[i];
    *reinterpret_cast<Pack<T, width>*>(y) = pack;
  } else {
#pragma unroll
    for (int i = 0; i < width; ++i) {
      if (i < count) y[i] = values[i];
    }
  }
}

/// A thread has `width` neighbours of the innermost axis. Reads each operand and writes y once; bound by memory.
template <int width, class F, class Y, class A, class B, class C>
__global__ void __launch_bounds__(256) broadcast_kernel(F f, Y* y, const A* a, const B* b, const C* c, Layout<3> layout, int64_t packs) {
  const int64_t pack = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (pack >= packs) return;
  // The row of y, of `inner` elements; the pack's first element in that row; offsets in elements of each operand.
  int64_t row = 0, at = pack * width, offset_a, offset_b, offset_c;
  if (layout.rank > 1) {
    uint32_t rest = layout.packs_inner.quotient(static_cast<uint32_t>(pack));
    row = rest;
    at = static_cast<int64_t>(static_cast<uint32_t>(pack) - rest * layout.packs_inner.divisor) * width;
    offset_a = at * layout.strides[0][0];
    offset_b = at * layout.strides[1][0];
    offset_c = at * layout.strides[2][0];
    for (int axis = 1; axis < layout.rank; ++axis) {
      const uint32_t quotient = layout.sizes[axis].quotient(rest), index = rest - quotient * layout.sizes[axis].divisor;
      rest = quotient;
      offset_a += index * layout.strides[0][axis];
      offset_b += index * layout.strides[1][axis];
      offset_c += index * layout.strides[2][axis];
    }
  } else {
    offset_a = at * layout.strides[0][0];
    offset_b = at * layout.strides[1][0];
    offset_c = at * layout.strides[2][0];
  }
  const int64_t left = layout.inner - at;
  const int count = left < width ? static_cast<int>(left) : width;
  const bool is_packed = layout.is_packed && count == width;
  A values_a[width];
  B values_b[width];
  C values_c[width];
  load_pack<width>(a, offset_a, layout.strides[0][0], is_packed, count, values_a);
  if constexpr (F::kOperands > 1) load_pack<width>(b, offset_b, layout.strides[1][0], is_packed, count, values_b);
  if constexpr (F::kOperands > 2) load_pack<width>(c, offset_c, layout.strides[2][0], is_packed, count, values_c);
  Y results[width];
#pragma unroll
  for (int i = 0; i < width; ++i) {
    if constexpr (F::kOperands == 1) {
      results[i] = f(values_a[i]);
    } else if constexpr (F::kOperands == 2) {
      results[i] = f(values_a[i], values_b[i]);
    } else {
      results[i] = f(values_a[i], values_b[i], values_c[i]);
    }
  }
  store_pack<width>(y + row * layout.inner + at, is_packed, count, results);
}

/// y = f(a, b, c) for a functor of kOperands elements; operands beyond those repeat a. Results of more than 2^30 packs are cut along their outermost axis.
template <class F, class Y, class A, class B, class C>
Status broadcast(F f, const A* a, const Dims& a_dims, const B* b, const Dims& b_dims, const C* c, const Dims& c_dims, Y* y, const Dims& y_dims,
                 cudaStream_t stream) {
  constexpr int kWidth = 16 / static_cast<int>(std::max({sizeof(A), sizeof(B), sizeof(C), sizeof(Y)}));
  constexpr int kThreads = 256;
  constexpr int64_t kMostPacks = int64_t{1} << 30;
  Layout<3> layout;
  HALO_REQUIRE((make_layout<3>({&a_dims, &b_dims, &c_dims}, y_dims, &layout)), "sizes that broadcast to those of the result", "others", "Check the operands.");
  if (y_dims.count() == 0) return {};
  const auto is_whole = [&](const auto* pointer, int operand) {
    if (layout.strides[operand][0] == 0) return true;
    bool whole = is_aligned(pointer, kWidth * static_cast<int64_t>(sizeof(*pointer)));
    for (int axis = 1; axis < layout.rank; ++axis) whole = whole && layout.strides[operand][axis] % kWidth == 0;
    return whole;
  };
  layout.is_packed = is_whole(a, 0) && is_whole(b, 1) && is_whole(c, 2) && is_aligned(y, kWidth * static_cast<int64_t>(sizeof(Y))) &&
                     (layout.rank == 1 || layout.inner % kWidth == 0);
  const int64_t packs_inner = ceil_div(layout.inner, kWidth);
  if (layout.rank == 1) {
    return launch(broadcast_kernel<kWidth, F, Y, A, B, C>, grid_for(packs_inner, kThreads), kThreads, 0, stream, f, y, a, b, c, layout, packs_inner);
  }
  const auto fits = [](int64_t packs) -> Status {
    HALO_REQUIRE(packs <= kMostPacks, "at most " << kMostPacks * kWidth << " elements behind the outermost axis", packs * kWidth, "Reshape the tensor.");
    return {};
  };
  HALO_RETURN_IF_ERROR(fits(packs_inner));
  layout.packs_inner = Divider(packs_inner);
  const int last = layout.rank - 1;
  int64_t packs_of_slice = packs_inner, elements_of_slice = layout.inner;
  for (int axis = 1; axis < last; ++axis) {
    packs_of_slice *= layout.size_of_axis[axis];
    elements_of_slice *= layout.size_of_axis[axis];
  }
  HALO_RETURN_IF_ERROR(fits(packs_of_slice));
  const int64_t step = kMostPacks / packs_of_slice;
  for (int64_t first = 0; first < layout.size_of_axis[last]; first += step) {
    const int64_t slices = std::min(step, layout.size_of_axis[last] - first), packs = slices * packs_of_slice;
    HALO_RETURN_IF_ERROR(launch(broadcast_kernel<kWidth, F, Y, A, B, C>, grid_for(packs, kThreads), kThreads, 0, stream, f, y + first * elements_of_slice,
                                a + first * layout.strides[0][last], b + first * layout.strides[1][last], c + first * layout.strides[2][last], layout, packs));
  }
  return {};
}

template <class F, class Y, class A, class B>
Status broadcast(F f, const A* a, const Dims& a_dims, const B* b, const Dims& b_dims, Y* y, const Dims& y_dims, cudaStream_t stream) {
  return broadcast(f, a, a_dims, b, b_dims, a, a_dims, y, y_dims, stream);
}

inline Dims flat(int64_t count) { return {.rank = 1, .sizes = {count}}; }

template <class F, class Y, class A>
Status map(F f, const A* x, Y* y, int64_t count, cudaStream_t stream) {
  return broadcast(f, x, flat(count), x, flat(count), x, flat(count), y, flat(count), stream);
}

}  // namespace halo::cuda
