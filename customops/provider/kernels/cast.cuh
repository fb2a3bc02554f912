// One element of any type into another.
#pragma once

#include "common/codes.h"
#include "provider/kernels/device.cuh"

namespace halo {

namespace cuda {

/// Bytes that are read as float8.
template <class Format>
struct Code {
  uint8_t bits;
};

/// As ONNX's table has it: half-even; beyond the largest number that number where `saturate`, else NaN, or Inf for a format that has it.
template <class Format>
HALO_HD uint8_t float8_of(float x, bool saturate) {
  const float magnitude = x < 0 ? -x : x;
  // Half a step above the largest number, the tie going to the even code: 448 is odd, 464 stays; 57344 is odd, 61440 overflows.
  constexpr bool kHasInf = Format::kType == DType::kFloat8E5M2;
  const bool overflows = kHasInf ? magnitude >= 61440.0f : magnitude > 464.0f;
  if (saturate || !overflows) return Format::encode(x);
  return static_cast<uint8_t>((x < 0 ? 0x80 : 0) | (kHasInf ? 0x7C : 0x7F));
}

template <class From>
HALO_HD auto number_of(From x) {
  return widened(x);
}
template <class Format>
HALO_HD float number_of(Code<Format> x) {
  return Format::decode(x.bits);
}

template <class To>
struct Integer {
  /// Towards zero, saturating; NaN becomes 0.
  template <class V>
  static HALO_HD To of(V x) {
    constexpr auto kLeast = static_cast<V>(std::numeric_limits<To>::min()), kMost = static_cast<V>(std::numeric_limits<To>::max());
    if (x != x) return 0;
    if (x <= kLeast) return std::numeric_limits<To>::min();
    if (x >= kMost) return std::numeric_limits<To>::max();
    return static_cast<To>(x);
  }
};

template <class To, class V>
HALO_HD To converted(V x, bool saturate) {
  if constexpr (std::is_same_v<To, bool>) {
    return x != V(0);
  } else if constexpr (std::is_same_v<To, Code<E4M3>>) {
    return {float8_of<E4M3>(static_cast<float>(x), saturate)};
  } else if constexpr (std::is_same_v<To, Code<E5M2>>) {
    return {float8_of<E5M2>(static_cast<float>(x), saturate)};
  } else if constexpr (std::is_integral_v<To> && std::is_floating_point_v<V>) {
    return Integer<To>::of(x);
  } else {
    return narrowed<To>(x);
  }
}

template <class To>
struct Cast {
  static constexpr int kOperands = 1;
  bool saturate;
  template <class From>
  __device__ To operator()(From x) const {
    return converted<To>(number_of(x), saturate);
  }
};

}  // namespace cuda

template <>
constexpr DType dtype_of<cuda::Code<E4M3>>() {
  return DType::kFloat8E4M3;
}
template <>
constexpr DType dtype_of<cuda::Code<E5M2>>() {
  return DType::kFloat8E5M2;
}

namespace cuda {

/// Quantized codes, and every type that is cast.
using CodeTypes = TypeList<int8_t, uint8_t, int32_t, Code<E4M3>, Code<E5M2>>;
using CastTypes = TypeList<float, BFloat16, Float16, double, int8_t, uint8_t, int32_t, int64_t, bool, Code<E4M3>, Code<E5M2>>;

}  // namespace cuda

}  // namespace halo
