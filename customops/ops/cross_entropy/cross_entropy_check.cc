#include <cmath>
#include <limits>

#include "check/check.h"
#include "ops/cross_entropy/cross_entropy.h"

namespace halo::check::cross_entropy {

namespace {

constexpr int64_t kIgnored = -100;

/// Every third row is ignored.
std::vector<int64_t> labels_of(int64_t rows, int64_t classes) {
  std::vector<int64_t> labels;
  for (int64_t row = 0; row < rows; ++row) labels.push_back(row % 3 == 2 ? kIgnored : row * 7919 % classes);
  return labels;
}

template <class T>
void check_rows(int64_t rows, int64_t classes, float size) {
  const std::string where = std::to_string(rows) + " x " + std::to_string(classes) + ": ";
  auto values = normal(rows * classes, static_cast<uint32_t>(rows + classes));
  for (float& v : values) v *= size;
  const auto logits = rounded<T>(values);
  const auto labels = labels_of(rows, classes);
  Guarded<float> loss(1), sums(rows);
  Guarded<double> row_losses(rows);
  expect(cross_entropy_cpu(logits.data(), labels.data(), loss.data(), sums.data(), rows, classes, kIgnored, row_losses.data(), ThreadedExecutor()).ok(),
         where + "refused");
  expect(loss.intact() && sums.intact() && row_losses.intact(), where + "wrote outside");

  double total = 0, total_tolerance = 0, counted = 0;
  for (const int64_t label : labels) counted += label == kIgnored ? 0 : 1;
  for (int64_t row = 0; row < rows; ++row) {
    const auto at = [&](int64_t i) { return static_cast<double>(to_float(logits[static_cast<size_t>(row * classes + i)])); };
    const int64_t label = labels[static_cast<size_t>(row)];
    double max = at(0), sum = 0;
    for (int64_t i = 0; i < classes; ++i) max = std::max(max, at(i));
    for (int64_t i = 0; i < classes; ++i) sum += std::exp(at(i) - max);
    const double expected = max + std::log(sum);
    // Each term is off by roundings of its exponent, at most that of log(classes) where it counts, and of the exponential.
    const double tolerance = 1e-7 * (std::log(static_cast<double>(classes)) + 5);
    expect_near(sums[row], expected, tolerance + 1e-7 * std::fabs(expected), where + "logSumExp");
    total += label == kIgnored ? 0 : expected - at(label);
    total_tolerance += label == kIgnored ? 0 : tolerance;
  }
  expect_near(loss[0], total / counted, total_tolerance / counted + 1e-7 * std::fabs(total / counted), where + "loss");

  Guarded<float> serial_loss(1), serial_sums(rows);
  Guarded<double> serial_row_losses(rows);
  const Status forward = cross_entropy_cpu(logits.data(), labels.data(), serial_loss.data(), serial_sums.data(), rows, classes, kIgnored,
                                           serial_row_losses.data(), SerialExecutor());
  expect(forward.ok() && same(serial_loss.data(), loss.data(), 1) && same(serial_sums.data(), sums.data(), rows), where + "threads change the result");
}

struct Result {
  float loss = 0;
  std::vector<float> sums;
};

Result run(const std::vector<float>& logits, const std::vector<int64_t>& labels) {
  const auto rows = static_cast<int64_t>(labels.size()), classes = static_cast<int64_t>(logits.size()) / rows;
  Result result{.loss = 0, .sums = std::vector<float>(labels.size())};
  std::vector<double> row_losses(labels.size());
  const Status forward =
      cross_entropy_cpu(logits.data(), labels.data(), &result.loss, result.sums.data(), rows, classes, kIgnored, row_losses.data(), SerialExecutor());
  expect(forward.ok(), "refused");
  return result;
}

}  // namespace

HALO_CHECK(cross_entropy_follows_its_equation) {
  for (const auto& [rows, classes] : {std::pair<int64_t, int64_t>{1, 1}, {1, 17}, {5, 1}, {7, 33}, {100, 500}, {5, 20000}, {2, 128256}}) {
    check_rows<float>(rows, classes, 1);
    check_rows<float>(rows, classes, 30);
    check_rows<float>(rows, classes, 1e4f);
    check_rows<BFloat16>(rows, classes, 3);
    check_rows<Float16>(rows, classes, 3);
  }
}

HALO_CHECK(cross_entropy_shows_what_is_not_finite_where_it_counts) {
  constexpr float kInf = std::numeric_limits<float>::infinity(), kNaN = std::numeric_limits<float>::quiet_NaN();
  for (const float bad : {kNaN, kInf}) {
    const Result counts = run({1, bad, 2, 3, 4, 5}, {0, 1}), ignored = run({1, bad, 2, 3, 4, 5}, {kIgnored, 1});
    expect(!std::isfinite(counts.loss) && !std::isfinite(counts.sums[0]), "a logit that is not finite was lost");
    expect(std::isfinite(ignored.loss), "an ignored row counts");
  }
  const Result masked = run({1, -kInf, 1, -kInf}, {0});
  expect(std::fabs(masked.loss - std::log(2.0f)) < 1e-6f, "a masked class has no probability");
  expect(std::isnan(run({-kInf, -kInf}, {0}).loss), "no class has a probability");
  expect(std::isnan(run({1, 2, 3, 4}, {kIgnored, kIgnored}).loss), "no row counts");
}

HALO_CHECK(cross_entropy_refuses_labels_outside_the_vocabulary) {
  const auto logits = normal(2 * 5, 1);
  for (const int64_t bad : {int64_t{5}, int64_t{-1}, int64_t{-101}, std::numeric_limits<int64_t>::max(), std::numeric_limits<int64_t>::min()}) {
    const std::vector<int64_t> labels = {4, bad};
    std::vector<float> loss(1), sums(2);
    std::vector<double> row_losses(2);
    const Status forward = cross_entropy_cpu(logits.data(), labels.data(), loss.data(), sums.data(), 2, 5, kIgnored, row_losses.data(), SerialExecutor());
    expect(forward.message().find("found " + std::to_string(bad) + " in row 1") != std::string::npos, "message: " + forward.message());
  }
}

}  // namespace halo::check::cross_entropy
