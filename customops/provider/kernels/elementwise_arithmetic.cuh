// Arithmetic of two elements. Included where it is instantiated, and nowhere else.
#pragma once

#include "provider/kernels/broadcast.cuh"
#include "provider/kernels/elementwise.h"

namespace halo::cuda {

template <BinaryOp op>
struct Arithmetic {
  static constexpr int kOperands = 2;

  template <class V>
  static __device__ V compute(V a, V b) {
    if constexpr (op == BinaryOp::kAdd) return a + b;
    if constexpr (op == BinaryOp::kSub) return a - b;
    if constexpr (op == BinaryOp::kMul) return a * b;
    if constexpr (op == BinaryOp::kMin) return MinOf()(a, b);
    if constexpr (op == BinaryOp::kMax) return MaxOf()(a, b);
    if constexpr (std::is_floating_point_v<V>) {
      if constexpr (op == BinaryOp::kDiv) return a / b;
      if constexpr (op == BinaryOp::kPow) return pow(a, b);
      if constexpr (op == BinaryOp::kFMod) return fmod(a, b);
      if constexpr (op == BinaryOp::kMod) {
        const V rest = fmod(a, b);
        return rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest;
      }
    } else {
      // Dividing by 0 gives 0, and by -1 the negative, which overflows for the least integer as elsewhere: no trap on a GPU, but one in other places.
      if (b == 0) return 0;
      if constexpr (op == BinaryOp::kDiv) return b == -1 ? static_cast<V>(0 - static_cast<std::make_unsigned_t<V>>(a)) : a / b;
      const V rest = b == -1 ? V(0) : a % b;
      if constexpr (op == BinaryOp::kMod) return rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest;
      return rest;
    }
    return a;
  }

  template <class T>
  __device__ T operator()(T a, T b) const {
    return narrowed<T>(compute(widened(a), widened(b)));
  }
};

template <BinaryOp op>
Status arithmetic(DType type, const void* a, const Dims& a_dims, const void* b, const Dims& b_dims, void* y, const Dims& y_dims, cudaStream_t stream) {
  return dispatch_number(type, [&]<class T>() {
    return broadcast(Arithmetic<op>(), static_cast<const T*>(a), a_dims, static_cast<const T*>(b), b_dims, static_cast<T*>(y), y_dims, stream);
  });
}

}  // namespace halo::cuda
