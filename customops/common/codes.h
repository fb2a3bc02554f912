// 8-bit codes of real numbers: rounding half to even with saturation, and back. Branchless, so that loops over them are vectorised.
#pragma once

#include <bit>
#include <cstdint>
#include <string>
#include <string_view>

#include "common/dispatch.h"
#include "common/dtype.h"

namespace halo {

namespace detail {

constexpr uint32_t kMagnitude = 0x7FFFFFFF;
constexpr uint32_t kInfinity = 0x7F800000;

constexpr float power_of_two(int exponent) { return std::bit_cast<float>(static_cast<uint32_t>(exponent + 127) << 23); }

/// The bits of |x| rounded half to even to `mantissa` bits. Where |x| is below 2^least, the step stays that of 2^least.
template <int mantissa, int least>
inline HALO_HD float round_magnitude(float magnitude) {
  constexpr int kDropped = 23 - mantissa;
  const uint32_t bits = std::bit_cast<uint32_t>(magnitude);
  const float normal = std::bit_cast<float>((bits + ((1u << (kDropped - 1)) - 1) + ((bits >> kDropped) & 1)) & ~((1u << kDropped) - 1));
  // Adding 2^(least + 23 - mantissa) leaves room for no bit below the step 2^(least - mantissa): the addition rounds.
  constexpr float kAnchor = power_of_two(least + 23 - mantissa);
  const float subnormal = (magnitude + kAnchor) - kAnchor;
  return magnitude < power_of_two(least) ? subnormal : normal;
}

/// Bits of a minifloat from a magnitude that it can hold: exponent bias and mantissa width are the format's.
template <int mantissa, int bias>
inline HALO_HD uint32_t pack(float magnitude) {
  constexpr int kLeast = 1 - bias;
  const uint32_t normal = (std::bit_cast<uint32_t>(magnitude) >> (23 - mantissa)) - (static_cast<uint32_t>(127 - bias) << mantissa);
  const uint32_t subnormal = static_cast<uint32_t>(static_cast<int32_t>(magnitude * power_of_two(mantissa - kLeast)));
  return magnitude < power_of_two(kLeast) ? subnormal : normal;
}

template <int mantissa, int bias>
inline HALO_HD float unpack(uint32_t code) {
  const uint32_t magnitude = code & 0x7F;
  const float normal = std::bit_cast<float>((magnitude << (23 - mantissa)) + (static_cast<uint32_t>(127 - bias) << 23));
  const float subnormal = static_cast<float>(static_cast<int32_t>(magnitude)) * power_of_two(1 - bias - mantissa);
  return magnitude < (1u << mantissa) ? subnormal : normal;
}

/// A minifloat of 8 bits whose values are those with `mantissa` bits from 2^least on, up to qmax; NaN is 0x7F.
template <int code_mantissa, int code_bias, int mantissa, int least>
inline HALO_HD uint8_t encode_minifloat(float x, float qmax) {
  const uint32_t bits = std::bit_cast<uint32_t>(x);
  const uint32_t sign = (bits >> 24) & 0x80;
  const float magnitude = std::bit_cast<float>(bits & kMagnitude);
  const float bounded = magnitude < qmax ? magnitude : qmax;
  const float rounded = round_magnitude<mantissa, least>(bounded);
  const uint32_t code = sign | pack<code_mantissa, code_bias>(rounded);
  return static_cast<uint8_t>((bits & kMagnitude) > kInfinity ? (sign | 0x7F) : code);
}

}  // namespace detail

/// FP8, 4 exponent bits of bias 7. [OFP8, E4M3; ONNX float8e4m3fn]
struct E4M3 {
  static constexpr const char* kName = "e4m3";
  static constexpr DType kType = DType::kFloat8E4M3;
  static constexpr float kQMax = 448.0f;
  static HALO_HD uint8_t encode(float x) { return detail::encode_minifloat<3, 7, 3, -6>(x, kQMax); }
  static HALO_HD float decode(uint8_t code) {
    const float magnitude = detail::unpack<3, 7>(code);
    const float finite = std::bit_cast<float>(std::bit_cast<uint32_t>(magnitude) | (static_cast<uint32_t>(code & 0x80) << 24));
    return (code & 0x7F) == 0x7F ? std::bit_cast<float>(0x7FC00000u) : finite;
  }
};

/// FP8, 5 exponent bits of bias 15. [OFP8, E5M2; ONNX float8e5m2]
struct E5M2 {
  static constexpr const char* kName = "e5m2";
  static constexpr DType kType = DType::kFloat8E5M2;
  static constexpr float kQMax = 57344.0f;
  static HALO_HD uint8_t encode(float x) { return detail::encode_minifloat<2, 15, 2, -14>(x, kQMax); }
  static HALO_HD float decode(uint8_t code) {
    const uint32_t sign = static_cast<uint32_t>(code & 0x80) << 24;
    const float magnitude = detail::unpack<2, 15>(code);
    const uint32_t special = (code & 0x7F) == 0x7C ? 0x7F800000u : 0x7FC00000u;
    return std::bit_cast<float>(((code & 0x7F) >= 0x7C ? special : std::bit_cast<uint32_t>(magnitude)) | sign);
  }
};

/// FP6, 3 exponent bits of bias 3, no NaN and no Inf, held as the E4M3 code of the same value. [OCP MX, E3M2]
struct E3M2 {
  static constexpr const char* kName = "e3m2";
  static constexpr DType kType = DType::kFloat8E4M3;
  static constexpr float kQMax = 28.0f;
  static HALO_HD uint8_t encode(float x) { return detail::encode_minifloat<3, 7, 2, -2>(x, kQMax); }
  static HALO_HD float decode(uint8_t code) { return E4M3::decode(code); }
};

/// Symmetric: -128 is never written. A NaN has no code; quantize makes the scale NaN instead.
struct Int8 {
  static constexpr const char* kName = "int8";
  static constexpr DType kType = DType::kInt8;
  static constexpr float kQMax = 127.0f;
  static HALO_HD uint8_t encode(float x) {
    const float low = x > -kQMax ? x : -kQMax;
    const float bounded = low < kQMax ? low : kQMax;
    // Adding 1.5 2^23 leaves the integer, rounded half to even, in the low bits.
    return static_cast<uint8_t>(std::bit_cast<uint32_t>(bounded + 12582912.0f));
  }
  static HALO_HD float decode(uint8_t code) { return static_cast<float>(static_cast<int8_t>(code)); }
};

/// Calls f.operator()<Format>() with the format that reads codes of this tensor type.
template <class F>
Status dispatch_codes(DType type, F&& f) {
  if (type == E4M3::kType) return detail::status_of_call<E4M3>(f);
  if (type == E5M2::kType) return detail::status_of_call<E5M2>(f);
  if (type == Int8::kType) return detail::status_of_call<Int8>(f);
  return refuse(__FILE__, __LINE__, "codes of float8e4m3fn, float8e5m2 or int8", name_of(type), "Quantize the tensor.");
}

/// Calls f.operator()<Format>() with the format of this name.
template <class F>
Status dispatch_format(std::string_view name, F&& f) {
  if (name == E4M3::kName) return detail::status_of_call<E4M3>(f);
  if (name == E5M2::kName) return detail::status_of_call<E5M2>(f);
  if (name == E3M2::kName) return detail::status_of_call<E3M2>(f);
  if (name == Int8::kName) return detail::status_of_call<Int8>(f);
  return refuse(__FILE__, __LINE__, "format e4m3, e5m2, e3m2 or int8", std::string("'").append(name).append("'"), "Correct the attribute.");
}

}  // namespace halo
