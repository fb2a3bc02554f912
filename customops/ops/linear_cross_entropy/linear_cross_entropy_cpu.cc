#include "ops/linear_cross_entropy/linear_cross_entropy.h"

#include <vector>

#include "common/conversions.h"
#include "ops/cross_entropy/cross_entropy.h"
#include "ops/cross_entropy/log_sum_exp.h"

namespace halo {

namespace {

template <class T>
float rounded(float x) {
  return to_float(from_float<T>(x));
}

}  // namespace

/// Logits of a chunk, and x, w, dx and two of dw as floats.
int64_t linear_cross_entropy_work_cpu(const LinearCrossEntropySizes& s) { return s.chunk * s.classes + 2 * s.chunk * s.width + 3 * s.classes * s.width; }

template <class T, class R>
Status linear_cross_entropy_cpu(const T* x, const T* w, const int64_t* labels, float dloss, float* loss, T* dx, R* dw, const LinearCrossEntropySizes& s,
                                float* work, const Executor& executor, const Products& products) {
  int64_t counted = 0;
  HALO_RETURN_IF_ERROR(count_labels(labels, s.rows, s.classes, s.ignored, &counted));
  const auto scale = static_cast<float>(static_cast<double>(dloss) / static_cast<double>(counted));
  const int64_t weights = s.classes * s.width;
  float *logits = work, *sum = logits + s.chunk * s.classes, *part = sum + weights, *rest = part + weights;
  const float* wide_w = widen(w, weights, rest, executor);
  std::vector<double> row_losses(static_cast<size_t>(s.rows));
  for (int64_t first = 0; first < s.rows; first += s.chunk) {
    const int64_t rows = std::min(s.chunk, s.rows - first);
    float* scratch = rest;
    const float* wide_x = widen(x + first * s.width, rows * s.width, scratch, executor);
    products.multiply(false, true, 1.0f, 1, rows, s.classes, s.width, wide_x, wide_w, logits);
    executor.parallel_for(rows, rows_per_task(s.classes), [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row) {
        float* z = logits + row * s.classes;
        const int64_t label = labels[first + row];
        if (label == s.ignored) {
          std::fill(z, z + s.classes, 0.0f);
          continue;
        }
        for (int64_t i = 0; i < s.classes; ++i) z[i] = rounded<T>(z[i]);
        const double whole = log_sum_exp_of(z, s.classes);
        const auto log_sum = static_cast<float>(whole);
        row_losses[static_cast<size_t>(first + row)] = whole - static_cast<double>(z[label]);
        const float at_label = fast_exp(z[label] - log_sum) - 1.0f;
        for (int64_t i = 0; i < s.classes; ++i) z[i] = rounded<T>(fast_exp(z[i] - log_sum) * scale);
        z[label] = rounded<T>(at_label * scale);
      }
    });
    narrow(dx + first * s.width, rows * s.width, scratch, executor,
           [&](float* y) { products.multiply(false, false, 1.0f, 1, rows, s.width, s.classes, logits, wide_w, y); });
    if (dw == nullptr) continue;
    products.multiply(true, false, 1.0f, 1, s.classes, s.width, rows, logits, wide_x, first == 0 ? sum : part);
    executor.parallel_for(weights, kGrain, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) sum[i] = rounded<R>(first == 0 ? sum[i] : sum[i] + part[i]);
    });
  }
  executor.parallel_for(dw == nullptr ? 0 : weights, kGrain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) dw[i] = from_float<R>(s.rows > 0 ? sum[i] : 0.0f);
  });
  double total = 0;
  for (const double row : row_losses) total += row;
  *loss = static_cast<float>(total / static_cast<double>(counted));
  return {};
}

#define HALO_INSTANTIATE(T, R)                                                                                                                                 \
  template Status linear_cross_entropy_cpu(const T*, const T*, const int64_t*, float, float*, T*, R*, const LinearCrossEntropySizes&, float*, const Executor&, \
                                           const Products&)
HALO_INSTANTIATE(float, float);
HALO_INSTANTIATE(BFloat16, BFloat16);
HALO_INSTANTIATE(BFloat16, float);
HALO_INSTANTIATE(Float16, Float16);
HALO_INSTANTIATE(Float16, float);
#undef HALO_INSTANTIATE

}  // namespace halo
