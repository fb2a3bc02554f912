#include "ops/rms_norm/rms_norm.h"
#include "provider/benchmarks/bench.h"

namespace halo::cuda::bench {

/// At the widths of LLaMA 3's 8B, of its 1B and of Qwen2.5-1.5B.
HALO_BENCH(rms_norm) {
  for_types([&]<class T>() {
    Array<T> x(kCount), weight(kColumns);
    const Array<T> y(kCount);
    const Array<float> inv_rms(kCount / 1536), absmax(1);
    fill_normal(x);
    fill_normal(weight);
    for (const int64_t columns : {kColumns, int64_t{2048}, int64_t{1536}}) {
      const int64_t rows = kCount / columns;
      for (float* const largest : {static_cast<float*>(nullptr), absmax.data()}) {
        bench.time(largest == nullptr ? "rms_norm" : "rms_norm with maximum", name_of(dtype_of<T>()), shape_of({rows, columns}),
                   {.bytes = 2.0 * static_cast<double>(rows * columns) * sizeof(T)},
                   [&] { return rms_norm_cuda(dtype_of<T>(), x.data(), weight.data(), y.data(), inv_rms.data(), largest, rows, columns, 1e-5f, nullptr); });
      }
    }
  });
}

}  // namespace halo::cuda::bench
