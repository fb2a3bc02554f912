// Codes into numbers, and the activation of opset 24, against plain loops.
#include "provider/kernels/dequantize.h"

#include "check/cuda/device.h"
#include "common/codes.h"
#include "provider/kernels/elementwise.h"

namespace halo::check {

namespace {

double value_of(DType type, uint8_t bits) {
  switch (type) {
    case DType::kInt8:
      return static_cast<int8_t>(bits);
    case DType::kUInt8:
      return bits;
    case DType::kFloat8E4M3:
      return static_cast<double>(E4M3::decode(bits));
    default:
      return static_cast<double>(E5M2::decode(bits));
  }
}

/// `kind`: 0 one scale, 1 one for each index of the middle axis, 2 one for each block along it.
template <class T>
void check_dequantize(DType type, int kind, bool has_zero) {
  const int64_t outer = 3, size = 20, inner = 6, block = kind == 2 ? 8 : 1, blocks = kind == 2 ? 3 : size, count = outer * size * inner;
  const int64_t scales_count = kind == 0 ? 1 : (kind == 1 ? size : outer * blocks * inner);
  std::vector<uint8_t> codes, zeros;
  for (int64_t i = 0; i < count; ++i) codes.push_back(static_cast<uint8_t>(i * 37));
  for (int64_t i = 0; i < scales_count; ++i) zeros.push_back(static_cast<uint8_t>(i * 11 % 60));
  const auto scales = numbers<T>(scales_count, 95);
  cuda::ScaleLayout layout{.outer = outer, .size = size, .inner = inner, .block = block};
  if (kind == 1) layout.size_step = 1;
  if (kind == 2) layout.outer_step = blocks * inner, layout.size_step = inner, layout.inner_step = 1;
  std::vector<double> expected;
  for (int64_t i = 0; i < count; ++i) {
    const int64_t middle = i / inner % size, at = kind == 0 ? 0 : (kind == 1 ? middle : (i / inner / size * blocks + middle / block) * inner + i % inner);
    const double zero = has_zero ? value_of(type, zeros[static_cast<size_t>(at)]) : 0;
    expected.push_back((value_of(type, codes[static_cast<size_t>(i)]) - zero) * real(scales[static_cast<size_t>(at)]));
  }
  const OnDevice<uint8_t> codes_device(codes), zeros_device(zeros);
  const OnDevice<T> scales_device(scales);
  const std::string what = "dequantize " + std::string(name_of(type)) + " to " + name_of_type<T>() + " kind " + std::to_string(kind);
  const auto found = run_twice<T>(what, count, [&](T* out) {
    return cuda::dequantize(type, type_of<T>(), codes_device.data(), scales_device.data(), has_zero ? zeros_device.data() : nullptr, out, layout, nullptr);
  });
  const auto near = within<T>(4);
  expect_all_near<T>(
      found, expected, [&](double v) { return std::is_same_v<T, Float16> && std::fabs(v) > 65504 ? INFINITY : near(v); }, what);
}

/// `zero_kind`: 0 none, 1 codes, 2 numbers.
template <class T>
void check_unpack(const cuda::PackedWeights& w, int zero_kind) {
  const int64_t blocks = w.blocks(), block_bytes = w.block * w.bits / 8, mask = (1 << w.bits) - 1;
  std::vector<uint8_t> codes, zero_codes;
  for (int64_t i = 0; i < w.n * blocks * block_bytes; ++i) codes.push_back(static_cast<uint8_t>(i * 151 + 7));
  for (int64_t i = 0; i < w.n * w.zero_bytes(); ++i) zero_codes.push_back(static_cast<uint8_t>(i * 91 + 3));
  const auto scales = numbers<T>(w.n * blocks, 96), zeros = numbers<T>(w.n * blocks, 97);
  std::vector<double> expected;
  for (int64_t n = 0; n < w.n; ++n) {
    for (int64_t k = 0; k < w.k; ++k) {
      const int64_t block = k / w.block, bit = k % w.block * w.bits, zero_bit = block * w.bits;
      const int64_t code = (codes[static_cast<size_t>((n * blocks + block) * block_bytes + bit / 8)] >> (bit % 8)) & mask;
      double zero = static_cast<double>(int64_t{1} << (w.bits - 1));
      if (zero_kind == 1) zero = static_cast<double>((zero_codes[static_cast<size_t>(n * w.zero_bytes() + zero_bit / 8)] >> (zero_bit % 8)) & mask);
      if (zero_kind == 2) zero = real(zeros[static_cast<size_t>(n * blocks + block)]);
      expected.push_back((static_cast<double>(code) - zero) * real(scales[static_cast<size_t>(n * blocks + block)]));
    }
  }
  const OnDevice<uint8_t> codes_device(codes), zero_codes_device(zero_codes);
  const OnDevice<T> scales_device(scales), zeros_device(zeros);
  const std::string what = "unpack " + std::to_string(w.bits) + " bits to " + name_of_type<T>() + " zeros " + std::to_string(zero_kind);
  const void* given = zero_kind == 0 ? nullptr : (zero_kind == 1 ? static_cast<const void*>(zero_codes_device.data()) : zeros_device.data());
  const DType given_type = zero_kind == 0 ? DType::kUndefined : (zero_kind == 1 ? DType::kUInt8 : type_of<T>());
  const auto found = run_twice<T>(what, w.n * w.k, [&](T* out) {
    return cuda::unpack_weights(type_of<T>(), codes_device.data(), scales_device.data(), given_type, given, out, w, nullptr);
  });
  expect_all_near<T>(
      found, expected, [](double v) { return std::is_same_v<T, Float16> && std::fabs(v) > 65504 ? INFINITY : within<T>(4)(v) + 1e-6 * std::fabs(v); }, what);
}

template <class T>
void check_swish(float alpha) {
  const int64_t count = 1003;
  const auto x = numbers<T>(count, 98);
  std::vector<double> expected;
  for (const T v : x) expected.push_back(real(v) / (1 + std::exp(-static_cast<double>(alpha) * real(v))));
  const OnDevice<T> x_device(x);
  const std::string what = "swish " + name_of_type<T>();
  expect_all_near<T>(
      run_twice<T>(what, count, [&](T* out) { return cuda::swish(type_of<T>(), x_device.data(), alpha, out, count, nullptr); }), expected,
      [](double v) { return within<T>(128)(v) + 1e-34; }, what);  // the exponent's rounding grows with it
}

}  // namespace

HALO_CHECK(cuda_dequantize_as_plain_loops) {
  for_floats([]<class T>() {
    for (const DType type : {DType::kInt8, DType::kUInt8, DType::kFloat8E4M3, DType::kFloat8E5M2}) {
      for (int kind = 0; kind < 3; ++kind) {
        check_dequantize<T>(type, kind, false);
        check_dequantize<T>(type, kind, true);
      }
    }
  });
}

HALO_CHECK(cuda_packed_weights_as_plain_loops) {
  for_floats([]<class T>() {
    for (const int64_t bits : {2, 4, 8}) {
      for (int zero_kind = 0; zero_kind < 3; ++zero_kind) {
        check_unpack<T>({.n = 5, .k = 96, .block = 32, .bits = bits}, zero_kind);
        check_unpack<T>({.n = 3, .k = 44, .block = 16, .bits = bits}, zero_kind);  // the last block is cut
      }
    }
  });
}

HALO_CHECK(cuda_swish_as_its_formula) {
  for_floats([]<class T>() {
    check_swish<T>(1.0f);
    check_swish<T>(1.702f);
  });
}

}  // namespace halo::check
