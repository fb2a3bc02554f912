#include <cmath>
#include <limits>

#include "check/check.h"
#include "ops/dequantize_blocks/dequantize_blocks.h"
#include "ops/quantize_blocks/quantize_blocks.h"
#include "ops/swi_glu/swi_glu.h"
#include "ops/swi_glu/swi_glu_check.h"
#include "ops/swi_glu_grad/swi_glu_grad.h"

namespace halo::check::swi_glu_grad {

namespace {

using swi_glu::kFlushed;

template <class T>
void check_tensor(const std::vector<float>& gates, const std::string& what) {
  const auto count = static_cast<int64_t>(gates.size());
  const auto gate = rounded<T>(gates), up = rounded<T>(normal(count, 2)), dy = rounded<T>(normal(count, 3));
  Guarded<T> dgate(count), dup(count), y(count), forward(count), serial_dgate(count), serial_dup(count);
  swi_glu_grad_cpu(dy.data(), gate.data(), up.data(), dgate.data(), dup.data(), y.data(), count, ThreadedExecutor());
  expect(dgate.intact() && dup.intact() && y.intact(), what + ": wrote outside");
  swi_glu_cpu(gate.data(), up.data(), forward.data(), count, SerialExecutor());
  expect(same(y.data(), forward.data(), count), what + ": Y is not that of the forward part");
  for (int64_t i = 0; i < count; ++i) {
    const auto at = [i](const std::vector<T>& values) { return static_cast<double>(to_float(values[static_cast<size_t>(i)])); };
    const double g = at(gate), u = at(up), error = at(dy), s = 1 / (1 + std::exp(-g));
    const double slope = error * u * s * (1 + g * (1 - s)), flushed = (1 + std::fabs(g)) * (1 + std::fabs(u)) * (1 + std::fabs(error)) * kFlushed;
    const double slope_magnitude = std::fabs(error * u * s) * (1 + std::fabs(g) * (1 - s) + std::fabs(g));
    expect_near(to_float(dgate[i]), slope, 6e-7 * slope_magnitude + rounding<T>(slope) + flushed, what + ": dGate of " + std::to_string(g));
    expect_near(to_float(dup[i]), error * g * s, 6e-7 * std::fabs(error * g * s) + rounding<T>(error * g * s) + flushed,
                what + ": dUp of " + std::to_string(g));
  }
  swi_glu_grad_cpu(dy.data(), gate.data(), up.data(), serial_dgate.data(), serial_dup.data(), static_cast<T*>(nullptr), count, SerialExecutor());
  expect(same(serial_dgate.data(), dgate.data(), count) && same(serial_dup.data(), dup.data(), count), what + ": threads change the result");
}

template <class T>
void check_type(const std::string& what) {
  swi_glu::check_gates(check_tensor<T>, what);
}

/// Of codes: what their numbers give.
template <class T>
void check_codes(int64_t count) {
  const auto gate = normal(count, 1), up = normal(count, 2);
  const auto dy = rounded<T>(normal(count, 3));
  std::vector<uint8_t> gate_codes(gate.size()), up_codes(up.size());
  std::vector<float> gate_scales(static_cast<size_t>(code_blocks(count))), up_scales(gate_scales.size()), gates(gate.size()), ups(up.size()), errors;
  quantize_blocks_cpu(gate.data(), gate_codes.data(), gate_scales.data(), count, SerialExecutor());
  quantize_blocks_cpu(up.data(), up_codes.data(), up_scales.data(), count, SerialExecutor());
  dequantize_blocks_cpu(gate_codes.data(), gate_scales.data(), gates.data(), count, SerialExecutor());
  dequantize_blocks_cpu(up_codes.data(), up_scales.data(), ups.data(), count, SerialExecutor());
  for (const T& error : dy) errors.push_back(to_float(error));
  std::vector<float> dgate(gate.size()), dup(gate.size()), y(gate.size());
  swi_glu_grad_cpu(errors.data(), gates.data(), ups.data(), dgate.data(), dup.data(), y.data(), count, SerialExecutor());
  Guarded<T> found_dgate(count), found_dup(count), found_y(count);
  swi_glu_grad_of_codes_cpu<T>(dy.data(), {gate_codes.data(), gate_scales.data()}, {up_codes.data(), up_scales.data()}, found_dgate.data(), found_dup.data(),
                               found_y.data(), count, ThreadedExecutor());
  expect(found_dgate.intact() && found_dup.intact() && found_y.intact(), "wrote outside");
  for (int64_t i = 0; i < count; ++i) {
    const auto at = static_cast<size_t>(i);
    expect_near(to_float(found_dgate[i]), dgate[at], 1e-6 * std::fabs(dgate[at]) + rounding<T>(dgate[at]) + kFlushed, "dGate of codes " + std::to_string(i));
    expect_near(to_float(found_dup[i]), dup[at], 1e-6 * std::fabs(dup[at]) + rounding<T>(dup[at]) + kFlushed, "dUp of codes " + std::to_string(i));
    expect_near(to_float(found_y[i]), y[at], 1e-6 * std::fabs(y[at]) + rounding<T>(y[at]) + kFlushed, "Y of codes " + std::to_string(i));
  }
}

}  // namespace

HALO_CHECK(swi_glu_grad_reads_codes_as_their_numbers) {
  for (const int64_t count : {1, 128, 129, 70'001}) {
    check_codes<float>(count);
    check_codes<BFloat16>(count);
    check_codes<Float16>(count);
  }
}

HALO_CHECK(swi_glu_grad_follows_its_equation) {
  check_type<float>("float");
  check_type<BFloat16>("bfloat16");
  check_type<Float16>("float16");
}

HALO_CHECK(swi_glu_grad_shows_what_is_not_finite) {
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity()}) {
    const std::vector<float> gate(20, bad), up(20, 1.5f), dy(20, 0.5f);
    std::vector<float> dgate(20), dup(20);
    swi_glu_grad_cpu(dy.data(), gate.data(), up.data(), dgate.data(), dup.data(), static_cast<float*>(nullptr), 20, SerialExecutor());
    for (size_t i = 0; i < 20; ++i) expect(!std::isfinite(dgate[i]) && !std::isfinite(dup[i]), "a gate that is not finite was lost");
    swi_glu_grad_cpu(gate.data(), dy.data(), up.data(), dgate.data(), dup.data(), static_cast<float*>(nullptr), 20, SerialExecutor());
    for (size_t i = 0; i < 20; ++i) expect(!std::isfinite(dgate[i]) && !std::isfinite(dup[i]), "a factor that is not finite was lost");
  }
}

}  // namespace halo::check::swi_glu_grad
