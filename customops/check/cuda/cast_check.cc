#include <algorithm>

#include "check/cuda/device.h"
#include "common/codes.h"
#include "provider/kernels/elementwise.h"

namespace halo::check {

namespace {

constexpr DType kTypes[] = {DType::kFloat, DType::kBFloat16, DType::kFloat16, DType::kDouble,     DType::kInt8,      DType::kUInt8,
                            DType::kInt32, DType::kInt64,    DType::kBool,    DType::kFloat8E4M3, DType::kFloat8E5M2};

double read(DType type, const void* bytes) {
  const auto as = [bytes]<class T>() {
    T value;
    __builtin_memcpy(&value, bytes, sizeof(T));
    return real(value);
  };
  switch (type) {
    case DType::kFloat:
      return as.operator()<float>();
    case DType::kBFloat16:
      return as.operator()<BFloat16>();
    case DType::kFloat16:
      return as.operator()<Float16>();
    case DType::kDouble:
      return as.operator()<double>();
    case DType::kInt8:
      return as.operator()<int8_t>();
    case DType::kUInt8:
    case DType::kBool:
      return as.operator()<uint8_t>();
    case DType::kInt32:
      return as.operator()<int32_t>();
    case DType::kInt64:
      return as.operator()<int64_t>();
    case DType::kFloat8E4M3:
      return static_cast<double>(E4M3::decode(*static_cast<const uint8_t*>(bytes)));
    default:
      return static_cast<double>(E5M2::decode(*static_cast<const uint8_t*>(bytes)));
  }
}

/// Numbers in the bytes of a type: small ones, halves, large ones, infinities and NaN where there are such; all patterns of types of one or two bytes.
std::vector<uint8_t> patterns(DType type) {
  const int64_t size = size_of(type);
  std::vector<uint8_t> bytes;
  const auto put = [&](const void* value) { bytes.insert(bytes.end(), static_cast<const uint8_t*>(value), static_cast<const uint8_t*>(value) + size); };
  if (size <= 2) {
    const int count = type == DType::kBool ? 2 : (size == 1 ? 256 : 65536);
    for (int i = 0; i < count; ++i) {
      const auto bits = static_cast<uint16_t>(i);
      put(&bits);
    }
    return bytes;
  }
  const double values[] = {0,        -0.0,      1,      -1,      0.5,   1.5,   2.5,   -2.5,  127.4, 128,      255.9,      256,           -129,       300.25,
                           448,      463.9,     464,    464.1,   480,   57344, 61439, 61440, 65519, 65520,    1e-3,       -1e-3,         1e-9,       1e-40,
                           6e-8,     2.9e-8,    3.4e38, -3.4e38, 1e300, 3e9,   -3e9,  1e19,  -1e19, 16777217, 2147483647, -2147483648.0, 1.00390625, 1.01171875,
                           INFINITY, -INFINITY, NAN};
  for (const double value : values) {
    if (type == DType::kDouble) put(&value);
    const auto single = static_cast<float>(value);
    if (type == DType::kFloat) put(&single);
    if (std::isnan(value) || std::fabs(value) > 9e18) continue;
    const auto wide = static_cast<int64_t>(value);
    if (type == DType::kInt64) put(&wide);
    if (std::fabs(value) > 2147483647.0) continue;
    const auto narrow = static_cast<int32_t>(value);
    if (type == DType::kInt32) put(&narrow);
  }
  return bytes;
}

/// The nearest number of a float8 format, the even code of two as near, by looking at all of them.
double nearest_float8(DType to, double x, bool saturate) {
  const bool has_inf = to == DType::kFloat8E5M2;
  const auto decode = [&](int code) {
    return static_cast<double>(has_inf ? E5M2::decode(static_cast<uint8_t>(code)) : E4M3::decode(static_cast<uint8_t>(code)));
  };
  const int largest = has_inf ? 0x7B : 0x7E;
  if (std::isnan(x)) return x;
  const double magnitude = std::fabs(x), overflow = decode(largest) + (decode(largest) - decode(largest - 1)) / 2;
  const bool is_over = largest % 2 == 0 ? magnitude > overflow : magnitude >= overflow;  // a tie goes to the even code
  if (is_over && !saturate) return has_inf ? std::copysign(INFINITY, x) : NAN;
  int best = 0;
  for (int code = 1; code <= largest; ++code) {
    const double distance = std::fabs(decode(code) - magnitude), known = std::fabs(decode(best) - magnitude);
    if (distance < known || (distance == known && code % 2 == 0)) best = code;
  }
  return std::copysign(magnitude > decode(largest) ? decode(largest) : decode(best), x);
}

/// What ONNX's Cast gives, by way of float32 where the kernel goes that way.
double cast_of(DType from, DType to, double x, bool saturate) {
  const auto whole = [&](double least, double most) { return std::isnan(x) ? 0.0 : std::trunc(std::min(std::max(x, least), most)); };
  const bool is_integer = from == DType::kInt8 || from == DType::kUInt8 || from == DType::kInt32 || from == DType::kInt64 || from == DType::kBool;
  const auto wrapped = [&](int bits, bool is_signed) {
    const auto mask = (uint64_t{1} << bits) - 1;
    const uint64_t low = static_cast<uint64_t>(static_cast<int64_t>(x)) & mask;
    return is_signed && (low >> (bits - 1)) != 0 ? static_cast<double>(low) - std::ldexp(1.0, bits) : static_cast<double>(low);
  };
  switch (to) {
    case DType::kDouble:
      return x;
    case DType::kFloat:
      return real(static_cast<float>(x));
    case DType::kBFloat16:
      return real(typed<BFloat16>(x));
    case DType::kFloat16:
      return real(typed<Float16>(x));
    case DType::kBool:
      return x != 0;
    case DType::kInt8:
      return is_integer ? wrapped(8, true) : whole(-128, 127);
    case DType::kUInt8:
      return is_integer ? wrapped(8, false) : whole(0, 255);
    case DType::kInt32:
      return is_integer ? wrapped(32, true) : whole(-2147483648.0, 2147483647.0);
    case DType::kInt64:
      return is_integer ? x : (x >= 9223372036854775808.0 ? 9223372036854775808.0 : whole(-9223372036854775808.0, 9.2e18));
    default:
      return nearest_float8(to, real(static_cast<float>(x)), saturate);
  }
}

}  // namespace

HALO_CHECK(cuda_casts_every_pair_of_types) {
  for (const DType from : kTypes) {
    const auto bytes = patterns(from);
    const int64_t count = static_cast<int64_t>(bytes.size()) / size_of(from);
    const OnDevice<uint8_t> x(bytes);
    for (const DType to : kTypes) {
      for (const bool saturate : {true, false}) {
        const bool is_float8 = to == DType::kFloat8E4M3 || to == DType::kFloat8E5M2;
        if (!saturate && !is_float8) continue;
        const std::string what = std::string("cast ") + name_of(from) + " to " + name_of(to) + (saturate ? "" : ", not saturating");
        const auto found =
            run_twice<uint8_t>(what, count * size_of(to), [&](uint8_t* y) { return cuda::cast(from, to, x.data(), y, count, saturate, nullptr); });
        int reported = 0;
        for (int64_t i = 0; i < count && reported < 3; ++i) {
          const double in = read(from, bytes.data() + i * size_of(from)), want = cast_of(from, to, in, saturate);
          const double got = read(to, found.data() + i * size_of(to));
          if (got == want || (std::isnan(got) && std::isnan(want))) continue;
          ++reported;
          expect(false, what + ": of " + std::to_string(in) + " expected " + std::to_string(want) + ", found " + std::to_string(got));
        }
      }
    }
  }
}

}  // namespace halo::check
