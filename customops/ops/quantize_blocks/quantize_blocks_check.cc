#include "ops/quantize_blocks/quantize_blocks.h"

#include <cmath>
#include <limits>

#include "check/check.h"

namespace halo::check::quantize_blocks {

namespace {

template <class T>
void check_tensor(const std::vector<float>& numbers, const std::string& what) {
  const auto x = rounded<T>(numbers);
  const auto count = static_cast<int64_t>(x.size());
  Guarded<uint8_t> codes(count), serial_codes(count);
  Guarded<float> scales(code_blocks(count)), serial_scales(code_blocks(count));
  quantize_blocks_cpu(x.data(), codes.data(), scales.data(), count, ThreadedExecutor());
  quantize_blocks_cpu(x.data(), serial_codes.data(), serial_scales.data(), count, SerialExecutor());
  expect(codes.intact() && scales.intact(), what + ": wrote outside");
  expect(same(codes.data(), serial_codes.data(), count) && same(scales.data(), serial_scales.data(), code_blocks(count)), what + ": threads change the result");
  for (int64_t first = 0; first < count; first += kCodeBlock) {
    float largest = 0;
    for (int64_t i = first; i < std::min(count, first + kCodeBlock); ++i) largest = std::max(largest, std::fabs(to_float(x[static_cast<size_t>(i)])));
    const bool is_tiny = largest / 127 < std::numeric_limits<float>::min();
    const float scale = is_tiny ? 1 : largest / 127, inverse = is_tiny ? 1 : 127 / largest;
    expect(scales[first / kCodeBlock] == scale, what + ": scale of the block at " + std::to_string(first));
    for (int64_t i = first; i < std::min(count, first + kCodeBlock); ++i) {
      const float code = std::nearbyint(to_float(x[static_cast<size_t>(i)]) * inverse);
      expect(Int8::decode(codes[i]) == code, what + ": code " + std::to_string(i));
    }
  }
}

template <class T>
void check_type(const std::string& what) {
  for (const int64_t count : {0, 1, 127, 128, 129, 70'001}) check_tensor<T>(normal(count, 1), what + " " + std::to_string(count));
  check_tensor<T>(std::vector<float>(300, 0.0f), what + " zeros");
  check_tensor<T>({1e-40f, -3e-41f, 1.4e-45f, 0}, what + " subnormal");
}

}  // namespace

HALO_CHECK(blocks_are_quantized_by_their_absolute_maximum) {
  check_type<float>("float");
  check_type<BFloat16>("bfloat16");
  check_type<Float16>("float16");
  check_tensor<float>({std::numeric_limits<float>::max(), -1e38f, 1, 0}, "huge");
}

HALO_CHECK(blocks_that_are_not_finite_have_no_scale) {
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity()}) {
    auto x = normal(400, 2);
    x[200] = bad;
    std::vector<uint8_t> codes(400);
    std::vector<float> scales(4);
    quantize_blocks_cpu(x.data(), codes.data(), scales.data(), 400, SerialExecutor());
    for (size_t i = 0; i < 4; ++i) expect(std::isnan(scales[i]) == (i == 1), "the block of a number that is not finite, and no other, has no scale");
  }
}

}  // namespace halo::check::quantize_blocks
