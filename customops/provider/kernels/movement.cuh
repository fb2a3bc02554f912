// Elements of 1 to 16 bytes that are copied and never looked at.
#pragma once

#include <algorithm>

#include "provider/kernels/device.cuh"
#include "provider/kernels/movement.h"

namespace halo::cuda {

/// A copy between strides, the innermost axis first, axes that both sides walk through alike taken together.
struct CopyPlan {
  int rank = 1;
  Divider sizes[kMaxRank];
  int64_t counts[kMaxRank] = {1};
  int64_t x_strides[kMaxRank] = {}, y_strides[kMaxRank] = {};
  int64_t count = 1;
  int64_t element_size = 1;
};

inline CopyPlan plan_copy(int64_t element_size, const void* x, const PerAxis& x_strides, const void* y, const PerAxis& y_strides, const Dims& dims) {
  CopyPlan plan;
  plan.count = dims.count();
  plan.element_size = element_size;
  int rank = 0;
  for (int axis = dims.rank - 1; axis >= 0; --axis) {
    const int64_t size = dims.sizes[axis], x_stride = x_strides.values[axis], y_stride = y_strides.values[axis];
    if (size == 1) continue;
    if (rank > 0 && x_stride == plan.x_strides[rank - 1] * plan.counts[rank - 1] && y_stride == plan.y_strides[rank - 1] * plan.counts[rank - 1]) {
      plan.counts[rank - 1] *= size;
    } else {
      plan.x_strides[rank] = x_stride;
      plan.y_strides[rank] = y_stride;
      plan.counts[rank++] = size;
    }
  }
  if (rank == 0) {
    plan.x_strides[rank] = plan.y_strides[rank] = 1;
    plan.counts[rank++] = 1;
  }
  plan.rank = rank;
  // Neighbours that stay neighbours are moved as one larger element.
  while (plan.element_size < 16 && plan.x_strides[0] == 1 && plan.y_strides[0] == 1 && plan.counts[0] % 2 == 0 && is_aligned(x, 2 * plan.element_size) &&
         is_aligned(y, 2 * plan.element_size)) {
    bool is_even = true;
    for (int i = 1; i < rank; ++i) is_even = is_even && plan.x_strides[i] % 2 == 0 && plan.y_strides[i] % 2 == 0;
    if (!is_even) break;
    for (int i = 1; i < rank; ++i) {
      plan.x_strides[i] /= 2;
      plan.y_strides[i] /= 2;
    }
    plan.counts[0] /= 2;
    plan.count /= 2;
    plan.element_size *= 2;
  }
  for (int i = 0; i < rank; ++i) plan.sizes[i] = Divider(std::max<int64_t>(1, plan.counts[i]));
  return plan;
}

/// Calls f.operator()<T>() with an element of 1, 2, 4, 8 or 16 bytes.
template <class F>
Status dispatch_wide(int64_t element_size, F&& f) {
  return element_size == 16 ? f.template operator()<uint4>() : dispatch_size(element_size, f);
}

}  // namespace halo::cuda
