#include "ops/cross_entropy_grad/cross_entropy_grad.h"
#include "provider/benchmarks/bench.h"

namespace halo::cuda::bench {

HALO_BENCH(cross_entropy_grad) {
  for_types([&]<class T>() {
    Array<T> logits(kCount);
    const Array<T> dlogits(kCount);
    Array<float> sums(kRows);
    fill_normal(logits);
    fill_normal(sums);
    const Array<int64_t> labels(ids_below(kColumns));
    const Array<float> dloss(std::vector<float>{1.0f});
    const Array<uint8_t> workspace(cross_entropy_grad_workspace_cuda());
    bench.time("cross_entropy_grad", name_of(dtype_of<T>()), shape_of({kRows, kColumns}), {.bytes = 2 * kTensorBytes<T>}, [&] {
      return cross_entropy_grad_cuda(dtype_of<T>(), dloss.data(), logits.data(), labels.data(), sums.data(), dlogits.data(), kRows, kColumns, -100,
                                     workspace.data(), nullptr);
    });
  });
}

}  // namespace halo::cuda::bench
