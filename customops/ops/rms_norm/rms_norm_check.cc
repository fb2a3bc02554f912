#include <cmath>
#include <limits>

#include "check/check.h"
#include "common/dtype.h"
#include "ops/rms_norm/rms_norm.h"

namespace halo::check::rms_norm {

namespace {

constexpr float kEpsilon = 1e-6f;

/// The bounds: float32 roundings in a handful of operations, and one to T.
template <class T>
void check_rows(int64_t rows, int64_t columns) {
  const std::string where = std::to_string(rows) + " x " + std::to_string(columns) + ": ";
  const auto seed = static_cast<uint32_t>(rows + columns);
  const auto x = rounded<T>(normal(rows * columns, seed)), weight = rounded<T>(normal(columns, seed + 2));
  Guarded<T> y(rows * columns);
  Guarded<float> inv_rms(rows);
  rms_norm_cpu(x.data(), weight.data(), y.data(), inv_rms.data(), rows, columns, kEpsilon, ThreadedExecutor());
  expect(y.intact() && inv_rms.intact(), where + "wrote outside");

  for (int64_t row = 0; row < rows; ++row) {
    double squares = 0;
    const auto at = [&](int64_t i) { return static_cast<double>(to_float(x[static_cast<size_t>(row * columns + i)])); };
    for (int64_t i = 0; i < columns; ++i) squares += at(i) * at(i);
    const double inverse = 1 / std::sqrt(squares / static_cast<double>(columns) + kEpsilon);
    expect_near(inv_rms[row], inverse, 1e-7 * inverse, where + "invRms");
    for (int64_t i = 0; i < columns; ++i) {
      const double expected = at(i) * inverse * static_cast<double>(to_float(weight[static_cast<size_t>(i)]));
      expect_near(to_float(y[row * columns + i]), expected, 3e-7 * std::fabs(expected) + rounding<T>(expected), where + "Y");
    }
  }

  std::vector<T> serial(static_cast<size_t>(rows * columns));
  std::vector<float> serial_inv_rms(static_cast<size_t>(rows));
  rms_norm_cpu(x.data(), weight.data(), serial.data(), serial_inv_rms.data(), rows, columns, kEpsilon, SerialExecutor());
  expect(same(serial.data(), y.data(), rows * columns) && same(serial_inv_rms.data(), inv_rms.data(), rows), where + "threads change Y");
}

}  // namespace

HALO_CHECK(rms_norm_follows_its_equation) {
  for (const auto& [rows, columns] :
       {std::pair<int64_t, int64_t>{1, 1}, {0, 5}, {1, 15}, {2, 16}, {3, 17}, {5, 288}, {130, 300}, {3, 20000}, {2000, 33}, {70, 4096}}) {
    check_rows<float>(rows, columns);
    check_rows<BFloat16>(rows, columns);
    check_rows<Float16>(rows, columns);
  }
}

HALO_CHECK(rms_norm_shows_what_is_not_finite) {
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    for (const int64_t at : {0, 17, 39}) {
      auto x = normal(3 * 40, 1);
      x[static_cast<size_t>(40 + at)] = bad;
      const auto weight = normal(40, 3);
      std::vector<float> y(3 * 40), inv_rms(3);
      rms_norm_cpu(x.data(), weight.data(), y.data(), inv_rms.data(), 3, 40, kEpsilon, SerialExecutor());
      expect(!std::isfinite(y[static_cast<size_t>(40 + at)]), "a value that is not finite was lost");
    }
  }
}

}  // namespace halo::check::rms_norm
