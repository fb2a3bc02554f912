// What becomes of an element that several updates name.
#pragma once

#include "provider/kernels/device.cuh"
#include "provider/kernels/scatter.h"

namespace halo::cuda {

template <ScatterReduction reduction>
struct Update {
  template <class V>
  __device__ V operator()(V old, V update) const {
    if constexpr (reduction == ScatterReduction::kAdd) return old + update;
    if constexpr (reduction == ScatterReduction::kMul) return old * update;
    if constexpr (reduction == ScatterReduction::kMax) return MaxOf()(old, update);
    if constexpr (reduction == ScatterReduction::kMin) return MinOf()(old, update);
    return update;
  }
};

/// All bits 1, NaN in every float type; true in bool, which has no other bits.
template <class T>
__device__ void poison(T* y) {
  if constexpr (std::is_same_v<T, bool>) {
    *y = true;
  } else {
    for (size_t i = 0; i < sizeof(T); ++i) reinterpret_cast<unsigned char*>(y)[i] = 0xFF;
  }
}

/// Calls f.operator()<T, reduction>().
template <class F>
Status dispatch_scatter(ScatterReduction reduction, DType type, F&& f) {
  switch (reduction) {
    case ScatterReduction::kNone:
      if (type == DType::kBool) return f.template operator()<bool, ScatterReduction::kNone>();
      return dispatch_number(type, [&]<class T>() { return f.template operator()<T, ScatterReduction::kNone>(); });
    case ScatterReduction::kAdd:
      return dispatch_number(type, [&]<class T>() { return f.template operator()<T, ScatterReduction::kAdd>(); });
    case ScatterReduction::kMul:
      return dispatch_number(type, [&]<class T>() { return f.template operator()<T, ScatterReduction::kMul>(); });
    case ScatterReduction::kMax:
      return dispatch_number(type, [&]<class T>() { return f.template operator()<T, ScatterReduction::kMax>(); });
    case ScatterReduction::kMin:
      return dispatch_number(type, [&]<class T>() { return f.template operator()<T, ScatterReduction::kMin>(); });
  }
  return refuse(__FILE__, __LINE__, "a reduction of scatter.h", std::to_string(static_cast<int>(reduction)), "Report the graph.");
}

inline Status copy_unless_same(const void* from, void* to, int64_t bytes, cudaStream_t stream) {
  if (from == to || bytes == 0) return {};
  return HALO_CUDA_STATUS(cudaMemcpyAsync(to, from, static_cast<size_t>(bytes), cudaMemcpyDeviceToDevice, stream));
}

}  // namespace halo::cuda
