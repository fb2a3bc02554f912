#include <cmath>
#include <limits>

#include "check/check.h"
#include "common/dtype.h"
#include "ops/rms_norm/rms_norm.h"
#include "ops/rms_norm_grad/rms_norm_grad.h"

namespace halo::check::rms_norm_grad {

namespace {

constexpr float kEpsilon = 1e-6f;

/// The bounds: float32 roundings in a handful of operations, or as many as there are rows, and one to T.
template <class T>
void check_gradient(int64_t rows, int64_t columns) {
  const std::string where = std::to_string(rows) + " x " + std::to_string(columns) + ": ";
  const auto seed = static_cast<uint32_t>(rows + columns);
  const auto x = rounded<T>(normal(rows * columns, seed)), dy = rounded<T>(normal(rows * columns, seed + 1)), weight = rounded<T>(normal(columns, seed + 2));
  std::vector<T> y(x.size());
  std::vector<float> inv_rms(static_cast<size_t>(rows));
  Guarded<T> dx(rows * columns), dweight(columns);
  Guarded<float> partial(rms_norm_grad_partials(rows, columns));
  const T* none = nullptr;
  rms_norm_cpu(x.data(), weight.data(), y.data(), inv_rms.data(), rows, columns, kEpsilon, ThreadedExecutor());
  rms_norm_grad_cpu(dy.data(), x.data(), weight.data(), inv_rms.data(), none, dx.data(), dweight.data(), rows, columns, partial.data(), ThreadedExecutor());
  expect(dx.intact() && dweight.intact() && partial.intact(), where + "wrote outside");

  const auto addend = rounded<T>(normal(rows * columns, seed + 3));
  std::vector<T> added(addend.size()), added_dweight(static_cast<size_t>(columns));
  rms_norm_grad_cpu(dy.data(), x.data(), weight.data(), inv_rms.data(), addend.data(), added.data(), added_dweight.data(), rows, columns, partial.data(),
                    SerialExecutor());
  expect(same(added_dweight.data(), dweight.data(), columns), where + "an addend changes dWeight");

  std::vector<double> sums(static_cast<size_t>(columns)), magnitudes(sums);
  for (int64_t row = 0; row < rows; ++row) {
    double squares = 0, dot = 0, dot_magnitude = 0;
    const auto at = [&](const std::vector<T>& values, int64_t i) { return static_cast<double>(to_float(values[static_cast<size_t>(row * columns + i)])); };
    const auto w = [&](int64_t i) { return static_cast<double>(to_float(weight[static_cast<size_t>(i)])); };
    for (int64_t i = 0; i < columns; ++i) squares += at(x, i) * at(x, i);
    const double inverse = 1 / std::sqrt(squares / static_cast<double>(columns) + kEpsilon);
    for (int64_t i = 0; i < columns; ++i) {
      const double term = at(dy, i) * w(i) * at(x, i) * inverse / static_cast<double>(columns);
      dot += term;
      dot_magnitude += std::fabs(term);
      sums[static_cast<size_t>(i)] += at(dy, i) * at(x, i) * inverse;
      magnitudes[static_cast<size_t>(i)] += std::fabs(at(dy, i) * at(x, i) * inverse);
    }
    for (int64_t i = 0; i < columns; ++i) {
      const double n = at(x, i) * inverse, g = at(dy, i) * w(i), gradient = inverse * (g - n * dot);
      const double bound = 1e-6 * inverse * (std::fabs(g) + std::fabs(n) * dot_magnitude);
      expect_near(to_float(dx[row * columns + i]), gradient, bound + rounding<T>(gradient), where + "dX");
      const auto place = static_cast<size_t>(row * columns + i);
      const double sum = gradient + to_float(addend[place]);
      expect_near(to_float(added[place]), sum, bound + 1e-7 * std::fabs(sum) + rounding<T>(sum), where + "dX added to");
    }
  }
  for (int64_t i = 0; i < columns; ++i) {
    const double sum = sums[static_cast<size_t>(i)];
    expect_near(to_float(dweight[i]), sum, 6e-8 * static_cast<double>(rows + 4) * magnitudes[static_cast<size_t>(i)] + rounding<T>(sum), where + "dWeight");
  }

  std::vector<T> serial(static_cast<size_t>(std::max(rows * columns, columns))), serial_dweight(static_cast<size_t>(columns));
  rms_norm_grad_cpu(dy.data(), x.data(), weight.data(), inv_rms.data(), none, serial.data(), serial_dweight.data(), rows, columns, partial.data(),
                    SerialExecutor());
  expect(same(serial.data(), dx.data(), rows * columns) && same(serial_dweight.data(), dweight.data(), columns), where + "threads change the gradient");
}

}  // namespace

HALO_CHECK(rms_norm_grad_follows_its_equation) {
  for (const auto& [rows, columns] :
       {std::pair<int64_t, int64_t>{1, 1}, {0, 5}, {1, 15}, {2, 16}, {3, 17}, {5, 288}, {130, 300}, {3, 20000}, {2000, 33}, {70, 4096}}) {
    check_gradient<float>(rows, columns);
    check_gradient<BFloat16>(rows, columns);
    check_gradient<Float16>(rows, columns);
  }
}

HALO_CHECK(rms_norm_grad_shows_what_is_not_finite) {
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    for (const int64_t at : {0, 17, 39}) {
      auto x = normal(3 * 40, 1);
      x[static_cast<size_t>(40 + at)] = bad;
      const auto dy = normal(3 * 40, 2), weight = normal(40, 3);
      std::vector<float> y(3 * 40), dx(3 * 40), dweight(40), inv_rms(3), partial(static_cast<size_t>(rms_norm_grad_partials(3, 40)));
      rms_norm_cpu(x.data(), weight.data(), y.data(), inv_rms.data(), 3, 40, kEpsilon, SerialExecutor());
      rms_norm_grad_cpu(dy.data(), x.data(), weight.data(), inv_rms.data(), static_cast<const float*>(nullptr), dx.data(), dweight.data(), 3, 40,
                        partial.data(), SerialExecutor());
      expect(!std::isfinite(dweight[static_cast<size_t>(at)]), "a value that is not finite was lost");
      for (size_t i = 0; i < 40; ++i) expect(!std::isfinite(dx[40 + i]) && std::isfinite(dx[i]) && std::isfinite(dx[80 + i]), "dX of its row and no other");
    }
  }
}

}  // namespace halo::check::rms_norm_grad
