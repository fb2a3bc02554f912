#include "ops/dropout/dropout.h"
#include "provider/benchmarks/bench.h"

namespace halo::cuda::bench {

HALO_BENCH(dropout) {
  for_types([&]<class T>() {
    Array<T> x(kCount);
    fill_normal(x);
    const Array<T> y(kCount);
    const Array<int64_t> counters(ids_below(2));
    bench.time("dropout", name_of(dtype_of<T>()), shape_of({kRows, kColumns}), {.bytes = 2 * kTensorBytes<T>},
               [&] { return dropout_cuda(dtype_of<T>(), x.data(), y.data(), kCount, counters.data(), counters.data() + 1, 0, DropoutRule(0.1f), nullptr); });
  });
}

}  // namespace halo::cuda::bench
