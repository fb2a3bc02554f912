#include "ops/rms_norm/rms_norm.h"
#include "provider/benchmarks/bench.h"

namespace halo::cuda::bench {

HALO_BENCH(rms_norm) {
  for_types([&]<class T>() {
    Array<T> x(kCount), weight(kColumns);
    const Array<T> y(kCount);
    const Array<float> inv_rms(kRows), absmax(1);
    fill_normal(x);
    fill_normal(weight);
    bench.time("rms_norm", name_of(dtype_of<T>()), shape_of({kRows, kColumns}), {.bytes = 2 * kTensorBytes<T>},
               [&] { return rms_norm_cuda(dtype_of<T>(), x.data(), weight.data(), y.data(), inv_rms.data(), nullptr, kRows, kColumns, 1e-5f, nullptr); });
    bench.time("rms_norm with maximum", name_of(dtype_of<T>()), shape_of({kRows, kColumns}), {.bytes = 2 * kTensorBytes<T>},
               [&] { return rms_norm_cuda(dtype_of<T>(), x.data(), weight.data(), y.data(), inv_rms.data(), absmax.data(), kRows, kColumns, 1e-5f, nullptr); });
  });
}

}  // namespace halo::cuda::bench
