#include "ops/row_codes/row_codes.h"
#include "provider/benchmarks/bench.h"

namespace halo::cuda::bench {

HALO_BENCH(row_codes) {
  constexpr int64_t kBlock = 64, kBlocks = kCount / kBlock, kParts = 2;
  Array<uint8_t> codes(kParts * kCount);
  Array<float> scales(kParts * kBlocks);
  const Array<float> y(kCount);
  for_types([&]<class T>() {
    Array<T> x(kCount);
    fill_normal(x);
    bench.time("quantize_rows", name_of(dtype_of<T>()), shape_of({kRows, kColumns}), {.bytes = kTensorBytes<T> + kTensorBytes<uint8_t> + 4.0 * kBlocks},
               [&] { return quantize_rows_cuda("int8", dtype_of<T>(), x.data(), codes.data(), scales.data(), kBlocks, kBlock, nullptr); });
  });
  bench.time("sum_rows of 2", "int8", shape_of({kParts, kRows, kColumns}), {.bytes = kParts * (kTensorBytes<uint8_t> + 4.0 * kBlocks) + kTensorBytes<float>},
             [&] { return sum_rows_cuda(DType::kInt8, codes.data(), scales.data(), y.data(), kParts, kBlocks, kBlock, nullptr); });
}

}  // namespace halo::cuda::bench
