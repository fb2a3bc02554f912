// Axes and sizes as ONNX gives them.
#pragma once

#include <algorithm>
#include <vector>

#include "provider/bindings/launch.h"

namespace halo::cuda {

/// A negative axis counts from the end.
inline int axis_of(int64_t axis, int rank) { return static_cast<int>(axis < 0 ? axis + rank : axis); }

inline Dims dims_of(const std::vector<int64_t>& sizes) {
  Dims dims{.rank = static_cast<int>(sizes.size())};
  std::copy(sizes.begin(), sizes.end(), dims.sizes);
  return dims;
}

/// A tensor as rows of one axis: (outer, size, inner).
struct AxisView {
  int64_t outer, size, inner;
};

inline AxisView view_along(const Dims& dims, int axis) {
  return {.outer = dims.count(0, axis), .size = dims.sizes[axis], .inner = dims.count(axis + 1, dims.rank)};
}

inline bool operator==(const Dims& a, const Dims& b) { return a.rank == b.rank && std::equal(a.sizes, a.sizes + a.rank, b.sizes); }

/// numpy's rule; an error where two sizes differ and neither is 1.
inline Status broadcast(const Dims& a, const Dims& b, Dims* result) {
  Dims dims{.rank = std::max(a.rank, b.rank)};
  for (int axis = 0; axis < dims.rank; ++axis) {
    const int64_t x = axis < dims.rank - a.rank ? 1 : a.sizes[axis - (dims.rank - a.rank)];
    const int64_t y = axis < dims.rank - b.rank ? 1 : b.sizes[axis - (dims.rank - b.rank)];
    HALO_REQUIRE(x == y || x == 1 || y == 1, "sizes that broadcast", x << " and " << y, "Check the operands.");
    dims.sizes[axis] = x == 1 ? y : x;
  }
  *result = dims;
  return {};
}

/// Axes from the input `i` on the host where it is given, else from the attribute.
inline std::vector<int64_t> axes_of(const Launch& launch, int i, const std::vector<int64_t>& attribute) {
  const Tensor axes = launch.in(i);
  return axes.is_present() ? axes.integers() : attribute;
}

}  // namespace halo::cuda
