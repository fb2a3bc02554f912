#include "ops/cross_entropy_grad/cross_entropy_grad.h"

#include <algorithm>

#include "common/dtype.h"
#include "common/vector_math.h"
#include "ops/cross_entropy/cross_entropy.h"

namespace halo {

template <class T>
Status cross_entropy_grad_cpu(float dloss, const T* logits, const int64_t* labels, const float* log_sum_exp, T* dlogits, int64_t rows, int64_t classes,
                              int64_t ignored, const Executor& executor) {
  int64_t counted = 0;
  HALO_RETURN_IF_ERROR(count_labels(labels, rows, classes, ignored, &counted));
  const auto scale = static_cast<float>(static_cast<double>(dloss) / static_cast<double>(counted));
  executor.parallel_for(rows, rows_per_task(classes), [=](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const T* x = logits + row * classes;
      T* dx = dlogits + row * classes;
      if (labels[row] == ignored) {
        std::fill(dx, dx + classes, from_float<T>(0.0f));
        continue;
      }
      const float sum = log_sum_exp[row];
      const float at_label = fast_exp(to_float(x[labels[row]]) - sum) - 1.0f;
      for (int64_t i = 0; i < classes; ++i) dx[i] = from_float<T>(fast_exp(to_float(x[i]) - sum) * scale);
      dx[labels[row]] = from_float<T>(at_label * scale);
    }
  });
  return {};
}

#define HALO_INSTANTIATE(T) \
  template Status cross_entropy_grad_cpu(float, const T*, const int64_t*, const float*, T*, int64_t, int64_t, int64_t, const Executor&)
HALO_INSTANTIATE(float);
HALO_INSTANTIATE(BFloat16);
HALO_INSTANTIATE(Float16);
#undef HALO_INSTANTIATE

}  // namespace halo
