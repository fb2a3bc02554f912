#include "ops/dequantize_int4/dequantize_int4.h"
#include "provider/benchmarks/bench.h"

namespace halo::cuda::bench {

HALO_BENCH(dequantize_int4) {
  for_types([&]<class T>() {
    const int64_t blocks = kRows * int4_blocks(kColumns);
    const Array<T> x(kCount);
    const Array<uint8_t> codes(std::vector<uint8_t>(static_cast<size_t>(blocks * (kInt4Block / 2)), 0x5A));
    const Array<Float16> scales(std::vector<Float16>(static_cast<size_t>(blocks), from_float<Float16>(0.02f)));
    const Array<uint8_t> zeros(std::vector<uint8_t>(static_cast<size_t>(blocks), 8));
    const Int4Matrix matrix{codes.data(), scales.data(), zeros.data(), kRows, kColumns};
    bench.time("dequantize_int4", name_of(dtype_of<T>()), shape_of({kRows, kColumns}), {.bytes = kTensorBytes<T> + static_cast<double>(19 * blocks)},
               [&] { return dequantize_int4_cuda(dtype_of<T>(), matrix, x.data(), nullptr); });
  });
}

}  // namespace halo::cuda::bench
