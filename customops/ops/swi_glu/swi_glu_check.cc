#include <cmath>
#include <limits>

#include "check/check.h"
#include "ops/swi_glu/swi_glu.h"
#include "ops/swi_glu/swi_glu_check.h"

namespace halo::check::swi_glu {

namespace {

using swi_glu::kFlushed;

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
  swi_glu::check_gates(check_tensor<T>, what);
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

}  // namespace halo::check::swi_glu
