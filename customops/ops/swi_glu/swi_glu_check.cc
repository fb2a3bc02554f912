#include <cmath>
#include <limits>

#include "check/check.h"
#include "ops/swi_glu/swi_glu.h"

namespace halo::check {

namespace {

/// fast_sigmoid is 0 where e^-x overflows, below -88.7: what is lost is less than 2^-126 of what it would be multiplied with.
constexpr double kFlushed = 0x1p-126;

template <class T>
void check_tensor(const std::vector<float>& gates, const std::string& what) {
  const auto count = static_cast<int64_t>(gates.size());
  const auto gate = rounded<T>(gates), up = rounded<T>(normal(count, 2));
  Guarded<T> y(count), serial(count);
  swi_glu_cpu(gate.data(), up.data(), y.data(), count, ThreadedExecutor());
  expect(y.intact(), what + ": wrote outside");
  for (int64_t i = 0; i < count; ++i) {
    const double g = to_float(gate[static_cast<size_t>(i)]), u = to_float(up[static_cast<size_t>(i)]), value = g / (1 + std::exp(-g)) * u;
    expect_near(to_float(y[i]), value, 6e-7 * std::fabs(value) + rounding<T>(value) + (1 + std::fabs(g)) * (1 + std::fabs(u)) * kFlushed,
                what + ": Y of " + std::to_string(g));
  }
  swi_glu_cpu(gate.data(), up.data(), serial.data(), count, SerialExecutor());
  expect(same(serial.data(), y.data(), count), what + ": threads change the result");
}

template <class T>
void check_type(const std::string& what) {
  for (const int64_t count : {0, 1, 7, 16, 33, 20000, 50001}) check_tensor<T>(normal(count, 1), what + " of " + std::to_string(count));
  std::vector<float> wide;
  for (float g = -120; g <= 120; g += 0.25f) wide.push_back(g);
  check_tensor<T>(wide, what + " wide");
  check_tensor<T>({0.0f, -0.0f, 1e-30f, -1e4f, 1e4f}, what + " special");
}

}  // namespace

HALO_CHECK(swi_glu_follows_its_equation) {
  check_type<float>("float");
  check_type<BFloat16>("bfloat16");
  check_type<Float16>("float16");
}

HALO_CHECK(swi_glu_shows_what_is_not_finite) {
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity()}) {
    const std::vector<float> gate(20, bad), up(20, 1.5f);
    std::vector<float> y(20);
    swi_glu_cpu(gate.data(), up.data(), y.data(), 20, SerialExecutor());
    for (const float value : y) expect(!std::isfinite(value), "a gate that is not finite was lost");
    swi_glu_cpu(up.data(), gate.data(), y.data(), 20, SerialExecutor());
    for (const float value : y) expect(!std::isfinite(value), "a factor that is not finite was lost");
  }
}

}  // namespace halo::check
