// Element types with ONNX's numbers, and the 16-bit types that kernels compute in float32.
#pragma once

#include <bit>
#include <cstdint>
#include <ostream>
#include <stdexcept>
#include <string>

// Functions that kernels on a GPU call as well.
#ifdef __CUDACC__
#define HALO_HD __host__ __device__
#else
#define HALO_HD
#endif

namespace halo {

enum class DType : int {
  kUndefined = 0,
  kFloat = 1,
  kUInt8 = 2,
  kInt8 = 3,
  kInt32 = 6,
  kInt64 = 7,
  kBool = 9,
  kFloat16 = 10,
  kDouble = 11,
  kBFloat16 = 16,
  kFloat8E4M3 = 17,
  kFloat8E5M2 = 19,
};

inline const char* name_of(DType type) {
  switch (type) {
    case DType::kFloat:
      return "float";
    case DType::kUInt8:
      return "uint8";
    case DType::kInt8:
      return "int8";
    case DType::kInt32:
      return "int32";
    case DType::kInt64:
      return "int64";
    case DType::kBool:
      return "bool";
    case DType::kFloat16:
      return "float16";
    case DType::kDouble:
      return "double";
    case DType::kBFloat16:
      return "bfloat16";
    case DType::kFloat8E4M3:
      return "float8e4m3fn";
    case DType::kFloat8E5M2:
      return "float8e5m2";
    default:
      return "an unknown type";
  }
}

inline std::ostream& operator<<(std::ostream& out, DType type) { return out << name_of(type); }

/// Bytes of an element. Throws std::invalid_argument for a type that is not listed here.
inline int64_t size_of(DType type) {
  switch (type) {
    case DType::kFloat:
    case DType::kInt32:
      return 4;
    case DType::kInt64:
    case DType::kDouble:
      return 8;
    case DType::kFloat16:
    case DType::kBFloat16:
      return 2;
    case DType::kUInt8:
    case DType::kInt8:
    case DType::kBool:
    case DType::kFloat8E4M3:
    case DType::kFloat8E5M2:
      return 1;
    default:
      throw std::invalid_argument("expected elements of a type of known size, found ONNX's type " + std::to_string(static_cast<int>(type)) +
                                  ". Cast the tensor.");
  }
}

struct BFloat16 {
  uint16_t bits;
};

struct Float16 {
  uint16_t bits;
};

inline HALO_HD float to_float(float x) { return x; }

inline HALO_HD float to_float(BFloat16 x) { return std::bit_cast<float>(static_cast<uint32_t>(x.bits) << 16); }

/// Written out in bits, as compilers do not vectorise the processor's own conversion.
inline HALO_HD float to_float(Float16 x) {
#ifdef __CUDA_ARCH__
  float converted;
  asm("cvt.f32.f16 %0, %1;" : "=f"(converted) : "h"(x.bits));
  return converted;
#else
  const uint32_t code = x.bits & 0x7FFFu;
  const uint32_t bias = code < 0x7C00 ? 112u << 23 : 224u << 23;  // above are Inf and NaN, whose exponent is 255
  const uint32_t normal = (code << 13) + bias;
  const uint32_t subnormal = std::bit_cast<uint32_t>(static_cast<float>(static_cast<int32_t>(code)) * 0x1p-24f);
  return std::bit_cast<float>((code < 0x0400 ? subnormal : normal) | (static_cast<uint32_t>(x.bits & 0x8000u) << 16));
#endif
}

template <class T>
HALO_HD T from_float(float x);

template <>
inline HALO_HD float from_float<float>(float x) {
  return x;
}

/// Half-even; a NaN stays one, with its sign.
template <>
inline HALO_HD BFloat16 from_float<BFloat16>(float x) {
#ifdef __CUDA_ARCH__
  BFloat16 converted;
  asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(converted.bits) : "f"(x));
  return converted;
#else
  const uint32_t bits = std::bit_cast<uint32_t>(x);
  const uint32_t rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16;
  const bool is_nan = (bits & 0x7FFFFFFF) > 0x7F800000;
  return {static_cast<uint16_t>(is_nan ? (bits >> 16) | 0x40 : rounded)};
#endif
}

/// Half-even, to Inf from 65520 on; a NaN stays one, with its sign.
template <>
inline HALO_HD Float16 from_float<Float16>(float x) {
#ifdef __CUDA_ARCH__
  Float16 converted;
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(converted.bits) : "f"(x));
  return converted;
#else
  const uint32_t bits = std::bit_cast<uint32_t>(x), magnitude = bits & 0x7FFFFFFF;
  const uint32_t normal = ((magnitude + 0xFFF + ((magnitude >> 13) & 1)) >> 13) - (112u << 10);
  // 1/2 has room for no bit below 2^-24, the step of subnormals: the addition rounds.
  const uint32_t subnormal = std::bit_cast<uint32_t>(std::bit_cast<float>(magnitude) + 0.5f) - 0x3F000000u;
  const uint32_t finite = magnitude < 0x38800000 ? subnormal : normal;
  const uint32_t number = magnitude < 0x477FF000 ? finite : 0x7C00u;
  const uint32_t code = magnitude > 0x7F800000 ? 0x7E00u | ((magnitude >> 13) & 0x3FF) : number;
  return {static_cast<uint16_t>(code | ((bits >> 16) & 0x8000))};
#endif
}

template <class T>
constexpr DType dtype_of();
template <>
constexpr DType dtype_of<float>() {
  return DType::kFloat;
}
template <>
constexpr DType dtype_of<BFloat16>() {
  return DType::kBFloat16;
}
template <>
constexpr DType dtype_of<Float16>() {
  return DType::kFloat16;
}
template <>
constexpr DType dtype_of<double>() {
  return DType::kDouble;
}
template <>
constexpr DType dtype_of<int32_t>() {
  return DType::kInt32;
}
template <>
constexpr DType dtype_of<int64_t>() {
  return DType::kInt64;
}
template <>
constexpr DType dtype_of<int8_t>() {
  return DType::kInt8;
}
template <>
constexpr DType dtype_of<uint8_t>() {
  return DType::kUInt8;
}
template <>
constexpr DType dtype_of<bool>() {
  return DType::kBool;
}

}  // namespace halo
