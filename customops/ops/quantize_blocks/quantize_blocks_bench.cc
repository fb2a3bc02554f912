#include "ops/quantize_blocks/quantize_blocks.h"
#include "provider/benchmarks/bench.h"

namespace halo::cuda::bench {

HALO_BENCH(quantize_blocks) {
  for_types([&]<class T>() {
    Array<T> x(kCount);
    fill_normal(x);
    const Array<uint8_t> codes(kCount);
    const Array<float> scales(code_blocks(kCount));
    const double bytes = kTensorBytes<T> + static_cast<double>(kCount + 4 * code_blocks(kCount));
    bench.time("quantize_blocks", name_of(dtype_of<T>()), shape_of({kRows, kColumns}), {.bytes = bytes},
               [&] { return quantize_blocks_cuda(dtype_of<T>(), x.data(), codes.data(), scales.data(), kCount, nullptr); });
  });
}

}  // namespace halo::cuda::bench
