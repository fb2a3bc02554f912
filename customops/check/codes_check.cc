// Every code through decode and back, and every bfloat16 and float16 pattern through each encoder, against a search for the nearest value.
#include <bit>
#include <cmath>
#include <limits>

#include "check/check.h"
#include "common/codes.h"

namespace halo::check {

namespace {

/// The finite values of a format by magnitude, from its definition; index parity is the parity of the code.
std::vector<double> magnitudes(int exponent_bits, int mantissa_bits, double largest) {
  const int bias = (1 << (exponent_bits - 1)) - 1;
  std::vector<double> values;
  for (int code = 0; code < 1 << (exponent_bits + mantissa_bits); ++code) {
    const int exponent = code >> mantissa_bits;
    const double fraction = static_cast<double>(code & ((1 << mantissa_bits) - 1)) / (1 << mantissa_bits);
    const double value = exponent == 0 ? std::ldexp(fraction, 1 - bias) : std::ldexp(1 + fraction, exponent - bias);
    if (value <= largest) values.push_back(value);
  }
  return values;
}

double nearest(const std::vector<double>& values, double x) {
  if (std::fabs(x) > values.back()) return std::copysign(values.back(), x);
  size_t best = 0;
  for (size_t i = 0; i < values.size(); ++i) {
    const double distance = std::fabs(values[i] - std::fabs(x)), least = std::fabs(values[best] - std::fabs(x));
    if (distance < least || (distance == least && i % 2 == 0)) best = i;
  }
  return std::copysign(values[best], x);
}

template <class Format>
void check_encoder(const std::vector<double>& values, bool has_nan) {
  const auto check_one = [&](float x, const char* what) {
    const std::string where = std::string(Format::kName) + " of " + what + " " + std::to_string(x);
    const float found = Format::decode(Format::encode(x));
    if (std::isnan(x)) {
      if (has_nan) expect(std::isnan(found), where + ": not NaN");
    } else {
      expect_near(found, nearest(values, x), 0, where);
    }
  };
  for (uint32_t bits = 0; bits < 65536; ++bits) {
    check_one(to_float(BFloat16{static_cast<uint16_t>(bits)}), "bfloat16");
    check_one(to_float(Float16{static_cast<uint16_t>(bits)}), "float16");
  }
  for (size_t i = 0; i + 1 < values.size(); ++i) {  // ties and their neighbours
    const auto middle = static_cast<float>((values[i] + values[i + 1]) / 2);
    for (const float sign : {1.0f, -1.0f}) {
      for (const float x : {middle, std::nextafter(middle, 0.0f), std::nextafter(middle, 1e30f)}) check_one(sign * x, "tie");
    }
  }
}

}  // namespace

HALO_CHECK(every_pattern_is_rounded_to_the_nearest_value) {
  check_encoder<E4M3>(magnitudes(4, 3, 448), true);
  check_encoder<E5M2>(magnitudes(5, 2, 57344), true);
  check_encoder<E3M2>(magnitudes(3, 2, 28), true);
  std::vector<double> integers;
  for (int i = 0; i <= 127; ++i) integers.push_back(i);
  check_encoder<Int8>(integers, false);
}

HALO_CHECK(every_code_survives_a_round_trip) {
  for (int code = 0; code < 256; ++code) {
    const auto byte = static_cast<uint8_t>(code);
    const std::string what = "code " + std::to_string(code);
    if ((code & 0x7F) != 0x7F) expect(E4M3::encode(E4M3::decode(byte)) == byte, "e4m3 " + what);
    if ((code & 0x7F) < 0x7C) expect(E5M2::encode(E5M2::decode(byte)) == byte, "e5m2 " + what);
    if (byte != 0x80) expect(Int8::encode(Int8::decode(byte)) == byte, "int8 " + what);
    expect(std::isnan(E4M3::decode(byte)) == ((code & 0x7F) == 0x7F), "e4m3 NaN, " + what);
    expect(std::isinf(E5M2::decode(byte)) == ((code & 0x7F) == 0x7C), "e5m2 Inf, " + what);
    expect(std::isnan(E5M2::decode(byte)) == ((code & 0x7F) > 0x7C), "e5m2 NaN, " + what);
  }
}

HALO_CHECK(sixteen_bit_types_survive_a_round_trip) {
  for (uint32_t bits = 0; bits < 65536; ++bits) {
    const BFloat16 b{static_cast<uint16_t>(bits)};
    const Float16 h{static_cast<uint16_t>(bits)};
    const bool is_nan = std::isnan(to_float(b));
    expect(is_nan ? std::isnan(to_float(from_float<BFloat16>(to_float(b)))) : from_float<BFloat16>(to_float(b)).bits == bits,
           "bfloat16 " + std::to_string(bits));
    expect(std::isnan(to_float(h)) ? std::isnan(to_float(from_float<Float16>(to_float(h)))) : from_float<Float16>(to_float(h)).bits == bits,
           "float16 " + std::to_string(bits));
  }
  const float tie = 1.00390625f;  // between bfloat16's 1 and 1.0078125
  expect(from_float<BFloat16>(tie).bits == 0x3F80, "half to even, down");
  expect(from_float<BFloat16>(1.01171875f).bits == 0x3F82, "half to even, up");
  expect(std::isinf(to_float(from_float<BFloat16>(std::numeric_limits<float>::max()))), "overflow to Inf");
}

HALO_CHECK(float16_is_converted_as_the_processor_does_it) {
  const auto same_bits = [](float x, float y) { return std::bit_cast<uint32_t>(x) == std::bit_cast<uint32_t>(y) || (std::isnan(x) && std::isnan(y)); };
  for (uint32_t bits = 0; bits < 65536; ++bits) {
    const auto code = static_cast<uint16_t>(bits);
    const float x = static_cast<float>(std::bit_cast<_Float16>(code));
    expect(same_bits(to_float(Float16{code}), x), "to float32: " + std::to_string(bits));
    // The value, the middle to the next one up, and the floats around both.
    const auto next = static_cast<float>(std::bit_cast<_Float16>(static_cast<uint16_t>(code + 1)));
    for (const float y : {x, (x + next) / 2}) {
      for (const float z : {y, std::nextafter(y, -1e30f), std::nextafter(y, 1e30f)}) {
        expect(same_bits(to_float(from_float<Float16>(z)), static_cast<float>(static_cast<_Float16>(z))), "from float32: " + std::to_string(z));
      }
    }
  }
  for (const float x : {65519.0f, 65520.0f, 65535.0f, 65536.0f, 1e30f, 0x1p-25f, 0x1.000002p-25f, 0x1p-26f, 1e-40f, -1e-45f}) {
    expect(same_bits(to_float(from_float<Float16>(x)), static_cast<float>(static_cast<_Float16>(x))), "from float32: " + std::to_string(x));
  }
}

}  // namespace halo::check
