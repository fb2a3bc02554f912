#include "ops/weighted_sum/weighted_sum.h"
#include "provider/benchmarks/bench.h"

namespace halo::cuda::bench {

namespace {

template <class S, class T>
void time_types(Bench& bench, const char* name) {
  Array<T> x(kCount);
  fill_normal(x);
  Array<S> sum(kCount);
  Array<float> factors(2);
  fill_normal(sum);
  fill_normal(factors);
  const Array<int64_t> numbers(std::vector<int64_t>{1, 0});
  const WeightedSumScalars scalars{.keep = factors.data(), .weight = factors.data() + 1, .chance = {.step = numbers.data(), .seed = numbers.data() + 1}};
  const Array<S> y(kCount);
  bench.time("weighted_sum", name, shape_of({kRows, kColumns}), {.bytes = kTensorBytes<T> + 2 * kTensorBytes<S>},
             [&] { return weighted_sum_cuda(dtype_of<T>(), sum.data(), x.data(), scalars, y.data(), kCount, nullptr); });
}

}  // namespace

HALO_BENCH(weighted_sum) {
  time_types<float, float>(bench, name_of(dtype_of<float>()));
  time_types<float, BFloat16>(bench, name_of(dtype_of<BFloat16>()));
  time_types<BFloat16, BFloat16>(bench, "bfloat16 to bfloat16");
}

}  // namespace halo::cuda::bench
