#include "ops/weighted_sum/weighted_sum.h"
#include "provider/benchmarks/bench.h"

namespace halo::cuda::bench {

namespace {

template <class T>
void time_type(Bench& bench) {
  Array<T> x(kCount);
  fill_normal(x);
  Array<float> sum(kCount), factors(2);
  fill_normal(sum);
  fill_normal(factors);
  const Array<float> y(kCount);
  bench.time("weighted_sum", name_of(dtype_of<T>()), shape_of({kRows, kColumns}), {.bytes = kTensorBytes<T> + 2 * kTensorBytes<float>},
             [&] { return weighted_sum_cuda(dtype_of<T>(), sum.data(), x.data(), factors.data(), factors.data() + 1, y.data(), kCount, nullptr); });
}

}  // namespace

HALO_BENCH(weighted_sum) {
  time_type<float>(bench);
  time_type<BFloat16>(bench);
}

}  // namespace halo::cuda::bench
