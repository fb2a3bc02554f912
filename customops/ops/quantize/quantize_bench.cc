#include "ops/quantize/quantize.h"
#include "provider/benchmarks/bench.h"

namespace halo::cuda::bench {

HALO_BENCH(quantize) {
  for_types([&]<class T>() {
    Array<T> x(kCount);
    fill_normal(x);
    const Array<uint8_t> codes(kCount), turned(kCount), workspace(quantize_workspace_cuda());
    const Array<float> scale(1), absmax(std::vector<float>{5.0f});
    const std::string type = name_of(dtype_of<T>()), shape = shape_of({kRows, kColumns});
    // Once for the largest magnitude, once for the codes.
    for (const char* format : {"e4m3", "e5m2", "e3m2", "int8"}) {
      bench.time(std::string("quantize ") + format, type, shape, {.bytes = 2 * kTensorBytes<T> + static_cast<double>(kCount)}, [&, format] {
        return quantize_cuda(format, dtype_of<T>(), x.data(), nullptr, codes.data(), nullptr, scale.data(), kRows, kColumns, workspace.data(), nullptr);
      });
      bench.time(std::string("quantize both ") + format, type, shape, {.bytes = 2 * kTensorBytes<T> + 2.0 * static_cast<double>(kCount)}, [&, format] {
        return quantize_cuda(format, dtype_of<T>(), x.data(), nullptr, codes.data(), turned.data(), scale.data(), kRows, kColumns, workspace.data(), nullptr);
      });
      bench.time(std::string("quantize both by maximum ") + format, type, shape, {.bytes = kTensorBytes<T> + 2.0 * static_cast<double>(kCount)}, [&, format] {
        return quantize_cuda(format, dtype_of<T>(), x.data(), absmax.data(), codes.data(), turned.data(), scale.data(), kRows, kColumns, nullptr, nullptr);
      });
    }
  });
}

}  // namespace halo::cuda::bench
