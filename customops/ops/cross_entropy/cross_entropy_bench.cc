#include "ops/cross_entropy/cross_entropy.h"
#include "provider/benchmarks/bench.h"

namespace halo::cuda::bench {

HALO_BENCH(cross_entropy) {
  for_types([&]<class T>() {
    Array<T> logits(kCount);
    fill_normal(logits);
    const Array<int64_t> labels(ids_below(kColumns));
    const Array<float> loss(1), sums(kRows);
    const Array<uint8_t> workspace(cross_entropy_workspace_cuda(kRows));
    bench.time("cross_entropy", name_of(dtype_of<T>()), shape_of({kRows, kColumns}), {.bytes = kTensorBytes<T>}, [&] {
      return cross_entropy_cuda(dtype_of<T>(), logits.data(), labels.data(), loss.data(), sums.data(), kRows, kColumns, -100, workspace.data(), nullptr);
    });
  });
}

}  // namespace halo::cuda::bench
