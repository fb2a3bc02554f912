#include "ops/absolute_max/absolute_max.h"
#include "provider/benchmarks/bench.h"

namespace halo::cuda::bench {

namespace {

template <class T>
void time_absolute_max(Bench& bench) {
  Array<T> x(kCount);
  fill_normal(x);
  const Array<float> y(1);
  bench.time("absolute_max", name_of(dtype_of<T>()), shape_of({kRows, kColumns}), {.bytes = kTensorBytes<T>},
             [&] { return absolute_max_cuda(dtype_of<T>(), x.data(), y.data(), kCount, nullptr); });
}

}  // namespace

HALO_BENCH(absolute_max) {
  time_absolute_max<float>(bench);
  time_absolute_max<BFloat16>(bench);
}

}  // namespace halo::cuda::bench
