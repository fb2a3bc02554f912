#include "ops/linear_cross_entropy/linear_cross_entropy.h"

#include <cmath>

#include "check/check.h"

namespace halo::check::linear_cross_entropy {

namespace {

/// In float64, whole.
template <class T, class R>
void check_chunk(int64_t chunk) {
  const LinearCrossEntropySizes s{.rows = 11, .width = 6, .classes = 37, .chunk = chunk, .ignored = -100};
  const auto x = rounded<T>(normal(s.rows * s.width, 1)), w = rounded<T>(normal(s.classes * s.width, 2));
  std::vector<int64_t> labels;
  for (int64_t row = 0; row < s.rows; ++row) labels.push_back(row % 4 == 1 ? s.ignored : row * 7 % s.classes);
  int64_t counted = 0;
  for (const int64_t label : labels) counted += label == s.ignored ? 0 : 1;
  constexpr float kDLoss = -0.75f;
  std::vector<double> dx(x.size()), dw(w.size());
  double loss = 0;
  for (int64_t row = 0; row < s.rows; ++row) {
    const auto row_x = [&](int64_t c) { return static_cast<double>(to_float(x[static_cast<size_t>(row * s.width + c)])); };
    const auto class_w = [&](int64_t v, int64_t c) { return static_cast<double>(to_float(w[static_cast<size_t>(v * s.width + c)])); };
    if (labels[static_cast<size_t>(row)] == s.ignored) continue;
    std::vector<double> z;
    double sum = 0;
    for (int64_t v = 0; v < s.classes; ++v) {
      double logit = 0;
      for (int64_t c = 0; c < s.width; ++c) logit += row_x(c) * class_w(v, c);
      z.push_back(static_cast<double>(to_float(from_float<T>(static_cast<float>(logit)))));
      sum += std::exp(z.back());
    }
    const int64_t label = labels[static_cast<size_t>(row)];
    loss += (std::log(sum) - z[static_cast<size_t>(label)]) / static_cast<double>(counted);
    for (int64_t v = 0; v < s.classes; ++v) {
      const double dz = (std::exp(z[static_cast<size_t>(v)]) / sum - (v == label ? 1 : 0)) * static_cast<double>(kDLoss) / static_cast<double>(counted);
      for (int64_t c = 0; c < s.width; ++c) {
        dx[static_cast<size_t>(row * s.width + c)] += dz * class_w(v, c);
        dw[static_cast<size_t>(v * s.width + c)] += dz * row_x(c);
      }
    }
  }
  // A unit of T for each of a few roundings of a gradient of a logit, which is below 1 / counted, times what it is multiplied by (below 4).
  const double unit = std::is_same_v<T, float> ? 0x1p-20 : (std::is_same_v<T, BFloat16> ? 0x1p-8 : 0x1p-11), most = 8 * unit / static_cast<double>(counted);
  std::vector<float> work(static_cast<size_t>(linear_cross_entropy_work_cpu(s)));
  Guarded<T> found_dx(s.rows * s.width);
  Guarded<R> found_dw(s.classes * s.width);
  float found_loss = 0;
  const Status status = linear_cross_entropy_cpu(x.data(), w.data(), labels.data(), kDLoss, &found_loss, found_dx.data(), found_dw.data(), s, work.data(),
                                                 ThreadedExecutor(), PlainProducts());
  expect(status.ok(), status.message());
  expect(found_dx.intact() && found_dw.intact(), "wrote outside");
  const std::string what = "chunk " + std::to_string(chunk);
  expect_near(static_cast<double>(found_loss), loss, 1e-5 * loss + unit / 8, what + " loss");
  for (size_t i = 0; i < dx.size(); ++i) expect_near(to_float(found_dx[static_cast<int64_t>(i)]), dx[i], most, what + " dx");
  for (size_t i = 0; i < dw.size(); ++i) expect_near(to_float(found_dw[static_cast<int64_t>(i)]), dw[i], most, what + " dw");
  Guarded<T> alone(s.rows * s.width);
  const Status frozen = linear_cross_entropy_cpu(x.data(), w.data(), labels.data(), kDLoss, &found_loss, alone.data(), static_cast<R*>(nullptr), s, work.data(),
                                                 ThreadedExecutor(), PlainProducts());
  expect(frozen.ok() && alone.intact() && same(alone.data(), found_dx.data(), s.rows * s.width), what + ": dx depends on dw");
  labels[3] = s.classes;
  expect(!linear_cross_entropy_cpu(x.data(), w.data(), labels.data(), kDLoss, &found_loss, found_dx.data(), found_dw.data(), s, work.data(), SerialExecutor(),
                                   PlainProducts())
              .ok(),
         "takes a label out of range");
}

}  // namespace

HALO_CHECK(linear_cross_entropy_is_the_loss_of_the_whole_product_with_its_gradients) {
  for (const int64_t chunk : {1, 4, 11}) {
    check_chunk<float, float>(chunk);
    check_chunk<BFloat16, BFloat16>(chunk);
    check_chunk<BFloat16, float>(chunk);
    check_chunk<Float16, Float16>(chunk);
    check_chunk<Float16, float>(chunk);
  }
}

}  // namespace halo::check::linear_cross_entropy
