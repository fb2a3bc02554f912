// Compiled without contraction (CMakeLists.txt).
#include "ops/weighted_sum/weighted_sum.h"

namespace halo {

template <class T>
void weighted_sum_cpu(const float* sum, const T* x, const float* keep, const float* weight, float* y, int64_t count, const Executor& executor) {
  const float kept = *keep, by = *weight;
  executor.parallel_for(count, kGrain, [=](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) y[i] = weighted_sum_of(sum[i], to_float(x[i]), kept, by);
  });
}

template void weighted_sum_cpu(const float*, const float*, const float*, const float*, float*, int64_t, const Executor&);
template void weighted_sum_cpu(const float*, const BFloat16*, const float*, const float*, float*, int64_t, const Executor&);
template void weighted_sum_cpu(const float*, const Float16*, const float*, const float*, float*, int64_t, const Executor&);

}  // namespace halo
