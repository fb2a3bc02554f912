#include "ops/cross_entropy/cross_entropy.h"

#include "ops/cross_entropy/log_sum_exp.h"

namespace halo {

Status count_labels(const int64_t* labels, int64_t rows, int64_t classes, int64_t ignored, int64_t* counted) {
  *counted = 0;
  for (int64_t row = 0; row < rows; ++row) {
    if (labels[row] == ignored) continue;
    HALO_REQUIRE(labels[row] >= 0 && labels[row] < classes, "labels in [0, " << classes << ") or the ignored " << ignored, labels[row] << " in row " << row,
                 "Check that labels and logits have the same vocabulary, or set ignoreIndex.");
    ++*counted;
  }
  return {};
}

template <class T>
Status cross_entropy_cpu(const T* logits, const int64_t* labels, float* loss, float* log_sum_exp, int64_t rows, int64_t classes, int64_t ignored,
                         double* row_losses, const Executor& executor) {
  int64_t counted = 0;
  HALO_RETURN_IF_ERROR(count_labels(labels, rows, classes, ignored, &counted));
  executor.parallel_for(rows, rows_per_task(classes), [=](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const T* x = logits + row * classes;
      const double sum = log_sum_exp_of(x, classes);
      log_sum_exp[row] = static_cast<float>(sum);
      row_losses[row] = labels[row] == ignored ? 0.0 : sum - static_cast<double>(to_float(x[labels[row]]));
    }
  });
  double total = 0;
  for (int64_t row = 0; row < rows; ++row) total += row_losses[row];
  *loss = static_cast<float>(total / static_cast<double>(counted));
  return {};
}

#define HALO_INSTANTIATE(T) template Status cross_entropy_cpu(const T*, const int64_t*, float*, float*, int64_t, int64_t, int64_t, double*, const Executor&)
HALO_INSTANTIATE(float);
HALO_INSTANTIATE(BFloat16);
HALO_INSTANTIATE(Float16);
#undef HALO_INSTANTIATE

}  // namespace halo
