#include "ops/dequantize_blocks/dequantize_blocks.h"

#include "check/check.h"
#include "ops/quantize_blocks/quantize_blocks.h"

namespace halo::check::dequantize_blocks {

namespace {

template <class T>
void check_count(int64_t count) {
  const std::string what = std::to_string(count);
  const auto x = rounded<T>(normal(count, 1));
  std::vector<uint8_t> codes(x.size());
  std::vector<float> scales(static_cast<size_t>(code_blocks(count)));
  quantize_blocks_cpu(x.data(), codes.data(), scales.data(), count, SerialExecutor());
  Guarded<T> y(count), serial(count);
  dequantize_blocks_cpu(codes.data(), scales.data(), y.data(), count, ThreadedExecutor());
  dequantize_blocks_cpu(codes.data(), scales.data(), serial.data(), count, SerialExecutor());
  expect(y.intact(), what + ": wrote outside");
  expect(same(y.data(), serial.data(), count), what + ": threads change the result");
  for (int64_t i = 0; i < count; ++i) {
    const float scale = scales[static_cast<size_t>(i / kCodeBlock)], number = to_float(x[static_cast<size_t>(i)]);
    const T expected = from_float<T>(static_cast<float>(static_cast<int8_t>(codes[static_cast<size_t>(i)])) * scale);
    expect(to_float(y[i]) == to_float(expected), what + ": element " + std::to_string(i));
    expect_near(to_float(y[i]), number, 0.5001 * scale + rounding<T>(number), what + ": half a step from element " + std::to_string(i));
  }
}

}  // namespace

HALO_CHECK(codes_of_blocks_stand_for_numbers_half_a_step_away) {
  for (const int64_t count : {0, 1, 127, 128, 129, 70'001}) {
    check_count<float>(count);
    check_count<BFloat16>(count);
    check_count<Float16>(count);
  }
}

}  // namespace halo::check::dequantize_blocks
