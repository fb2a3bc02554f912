#include "ops/square_sum/square_sum.h"

#include <vector>

#include "common/reductions.h"

namespace halo {

template <class T>
void square_sum_cpu(const T* x, float* y, int64_t count, const Executor& executor) {
  std::vector<double> sums(static_cast<size_t>((count + kGrain - 1) / kGrain));
  executor.parallel_for(count, kGrain, [&](int64_t begin, int64_t end) {
    sums[static_cast<size_t>(begin / kGrain)] = sum_of(end - begin, [&](int64_t i) {
      const double value = to_float(x[begin + i]);
      return value * value;
    });
  });
  double sum = 0;
  for (const double piece : sums) sum += piece;
  *y = static_cast<float>(sum);
}

template void square_sum_cpu(const float*, float*, int64_t, const Executor&);
template void square_sum_cpu(const BFloat16*, float*, int64_t, const Executor&);
template void square_sum_cpu(const Float16*, float*, int64_t, const Executor&);

}  // namespace halo
