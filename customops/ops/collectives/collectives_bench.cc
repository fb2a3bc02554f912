#include "ops/collectives/collectives.h"
#include "provider/benchmarks/bench.h"

namespace halo::cuda::bench {

HALO_BENCH(collectives) {
  constexpr int64_t kParts = 2;
  for_types([&]<class T>() {
    Array<T> parts(kParts * kCount);
    const Array<T> y(kCount);
    fill_normal(parts);
    bench.time("sum of 2 ranks", name_of(dtype_of<T>()), shape_of({kParts, kRows, kColumns}), {.bytes = (kParts + 1) * kTensorBytes<T>},
               [&] { return combine_cuda(dtype_of<T>(), Reduction::kSum, parts.data(), kParts, kCount, y.data(), nullptr); });
  });
}

}  // namespace halo::cuda::bench
