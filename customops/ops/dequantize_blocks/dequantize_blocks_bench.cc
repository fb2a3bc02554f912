#include "ops/dequantize_blocks/dequantize_blocks.h"
#include "provider/benchmarks/bench.h"

namespace halo::cuda::bench {

HALO_BENCH(dequantize_blocks) {
  for_types([&]<class T>() {
    const Array<T> x(kCount);
    Array<uint8_t> codes(kCount);
    fill_codes<Int8>(codes);
    const Array<float> scales(std::vector<float>(static_cast<size_t>(code_blocks(kCount)), 0.02f));
    const double bytes = kTensorBytes<T> + static_cast<double>(kCount + 4 * code_blocks(kCount));
    bench.time("dequantize_blocks", name_of(dtype_of<T>()), shape_of({kRows, kColumns}), {.bytes = bytes},
               [&] { return dequantize_blocks_cuda(dtype_of<T>(), codes.data(), scales.data(), x.data(), kCount, nullptr); });
  });
}

}  // namespace halo::cuda::bench
