#include "ops/cross_entropy_grad/cross_entropy_grad.h"

#include <cmath>
#include <limits>

#include "check/check.h"

namespace halo::check::cross_entropy_grad {

namespace {

constexpr int64_t kIgnored = -100;

/// log(sum(e^x)) of each row, rounded to float32 as CrossEntropy hands it on.
template <class T>
std::vector<float> log_sum_exp(const std::vector<T>& logits, int64_t rows, int64_t classes) {
  std::vector<float> sums;
  for (int64_t row = 0; row < rows; ++row) {
    const auto at = [&](int64_t i) { return static_cast<double>(to_float(logits[static_cast<size_t>(row * classes + i)])); };
    double max = at(0), sum = 0;
    for (int64_t i = 0; i < classes; ++i) max = std::max(max, at(i));
    for (int64_t i = 0; i < classes; ++i) sum += std::exp(at(i) - max);
    sums.push_back(static_cast<float>(max + std::log(sum)));
  }
  return sums;
}

/// Every third row is ignored. The exponential is off by roundings of its exponent and of itself.
template <class T>
void check_rows(int64_t rows, int64_t classes, float size) {
  const std::string where = std::to_string(rows) + " x " + std::to_string(classes) + ": ";
  auto values = normal(rows * classes, static_cast<uint32_t>(rows + classes));
  for (float& v : values) v *= size;
  const auto logits = rounded<T>(values);
  std::vector<int64_t> labels;
  for (int64_t row = 0; row < rows; ++row) labels.push_back(row % 3 == 2 ? kIgnored : row * 7919 % classes);
  const std::vector<float> sums = log_sum_exp(logits, rows, classes);
  constexpr float kError = 0.75f;
  Guarded<T> dlogits(rows * classes), serial(rows * classes);
  expect(cross_entropy_grad_cpu(kError, logits.data(), labels.data(), sums.data(), dlogits.data(), rows, classes, kIgnored, ThreadedExecutor()).ok(),
         where + "refused");
  expect(dlogits.intact(), where + "wrote outside");
  double counted = 0;
  for (const int64_t label : labels) counted += label == kIgnored ? 0 : 1;
  for (int64_t row = 0; row < rows; ++row) {
    const int64_t label = labels[static_cast<size_t>(row)];
    for (int64_t i = 0; i < classes; ++i) {
      const double exponent =
          static_cast<double>(to_float(logits[static_cast<size_t>(row * classes + i)])) - static_cast<double>(sums[static_cast<size_t>(row)]);
      const double p = std::exp(exponent), gradient = label == kIgnored ? 0 : (p - (i == label ? 1 : 0)) * kError / counted;
      const double bound = label == kIgnored ? 0 : 1e-7 * (p * (std::fabs(exponent) + 4) + 2 * std::fabs(gradient)) + rounding<T>(gradient) + 0x1p-126;
      expect_near(to_float(dlogits[row * classes + i]), gradient, bound, where + "dLogits");
    }
  }
  expect(cross_entropy_grad_cpu(kError, logits.data(), labels.data(), sums.data(), serial.data(), rows, classes, kIgnored, SerialExecutor()).ok() &&
             same(serial.data(), dlogits.data(), rows * classes),
         where + "threads change the result");
}

std::vector<float> run(const std::vector<float>& logits, const std::vector<int64_t>& labels) {
  const auto rows = static_cast<int64_t>(labels.size()), classes = static_cast<int64_t>(logits.size()) / rows;
  std::vector<float> dlogits(logits.size());
  const std::vector<float> sums = log_sum_exp(logits, rows, classes);
  expect(cross_entropy_grad_cpu(1, logits.data(), labels.data(), sums.data(), dlogits.data(), rows, classes, kIgnored, SerialExecutor()).ok(), "refused");
  return dlogits;
}

}  // namespace

HALO_CHECK(cross_entropy_grad_follows_its_equation) {
  for (const auto& [rows, classes] : {std::pair<int64_t, int64_t>{1, 1}, {1, 17}, {5, 1}, {7, 33}, {100, 500}, {5, 20000}, {2, 128256}}) {
    check_rows<float>(rows, classes, 1);
    check_rows<float>(rows, classes, 30);
    check_rows<float>(rows, classes, 1e4f);
    check_rows<BFloat16>(rows, classes, 3);
    check_rows<Float16>(rows, classes, 3);
  }
}

HALO_CHECK(cross_entropy_grad_shows_what_is_not_finite_where_it_counts) {
  constexpr float kInf = std::numeric_limits<float>::infinity(), kNaN = std::numeric_limits<float>::quiet_NaN();
  for (const float bad : {kNaN, kInf}) {
    expect(!std::isfinite(run({1, bad, 2, 3, 4, 5}, {0, 1})[1]), "a logit that is not finite was lost");
    const auto ignored = run({1, bad, 2, 3, 4, 5}, {kIgnored, 1});
    expect(ignored[0] == 0 && ignored[1] == 0, "an ignored row counts");
  }
  expect(run({1, -kInf, 1, -kInf}, {0})[1] == 0, "a masked class has no probability");
  for (const float d : run({1, 2, 3, 4}, {kIgnored, kIgnored})) expect(d == 0, "no row counts, no gradient");
}

HALO_CHECK(cross_entropy_grad_refuses_labels_outside_the_vocabulary) {
  const auto logits = normal(2 * 5, 1);
  const std::vector<float> sums(2);
  for (const int64_t bad : {int64_t{5}, int64_t{-1}, int64_t{-101}, std::numeric_limits<int64_t>::max(), std::numeric_limits<int64_t>::min()}) {
    const std::vector<int64_t> labels = {4, bad};
    std::vector<float> dlogits(10);
    const Status status = cross_entropy_grad_cpu(1, logits.data(), labels.data(), sums.data(), dlogits.data(), 2, 5, kIgnored, SerialExecutor());
    expect(status.message().find("found " + std::to_string(bad) + " in row 1") != std::string::npos, "message: " + status.message());
  }
}

}  // namespace halo::check::cross_entropy_grad
