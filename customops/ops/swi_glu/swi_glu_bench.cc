#include "ops/swi_glu/swi_glu.h"
#include "provider/benchmarks/bench.h"

namespace halo::cuda::bench {

HALO_BENCH(swi_glu) {
  for_types([&]<class T>() {
    Array<T> gate(kCount), up(kCount);
    const Array<T> y(kCount);
    const Array<float> absmax(1);
    fill_normal(gate);
    fill_normal(up);
    bench.time("swi_glu", name_of(dtype_of<T>()), shape_of({kRows, kColumns}), {.bytes = 3 * kTensorBytes<T>},
               [&] { return swi_glu_cuda(dtype_of<T>(), gate.data(), up.data(), y.data(), nullptr, kCount, nullptr); });
    bench.time("swi_glu with maximum", name_of(dtype_of<T>()), shape_of({kRows, kColumns}), {.bytes = 3 * kTensorBytes<T>},
               [&] { return swi_glu_cuda(dtype_of<T>(), gate.data(), up.data(), y.data(), absmax.data(), kCount, nullptr); });
  });
}

}  // namespace halo::cuda::bench
