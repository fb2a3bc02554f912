// One element of any type into another.
#pragma once

#include "common/codes.h"
#include "provider/kernels/device.cuh"

namespace halo::cuda {

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

/// Calls f.operator()<T>() with a type of quantized codes; cudaErrorInvalidValue for another type.
template <class F>
cudaError_t dispatch_code(DType type, F&& f) {
  switch (type) {
    case DType::kInt8:
      return f.template operator()<int8_t>();
    case DType::kUInt8:
      return f.template operator()<uint8_t>();
    case DType::kInt32:
      return f.template operator()<int32_t>();
    case DType::kFloat8E4M3:
      return f.template operator()<Code<E4M3>>();
    case DType::kFloat8E5M2:
      return f.template operator()<Code<E5M2>>();
    default:
      return cudaErrorInvalidValue;
  }
}

/// As dispatch_code, with any type that is cast.
template <class F>
cudaError_t dispatch_cast(DType type, F&& f) {
  switch (type) {
    case DType::kFloat:
    case DType::kBFloat16:
    case DType::kFloat16:
    case DType::kDouble:
      return dispatch_real(type, f);
    case DType::kInt64:
      return f.template operator()<int64_t>();
    case DType::kBool:
      return f.template operator()<bool>();
    default:
      return dispatch_code(type, f);
  }
}

}  // namespace halo::cuda
