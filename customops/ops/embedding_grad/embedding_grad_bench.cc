#include "ops/embedding_grad/embedding_grad.h"
#include "provider/benchmarks/bench.h"

namespace halo::cuda::bench {

HALO_BENCH(embedding_grad) {
  for_types([&]<class T>() {
    Array<T> dy(kCount);
    fill_normal(dy);
    const Array<int64_t> ids(ids_below(kColumns));
    const Array<float> dweight(kColumns * kColumns);
    const Array<uint8_t> workspace(embedding_grad_workspace_cuda(kRows, kColumns));
    bench.time("embedding_grad", name_of(dtype_of<T>()), shape_of({kRows, kColumns}) + " into " + std::to_string(kColumns),
               {.bytes = kTensorBytes<T> + 4.0 * kColumns * kColumns}, [&] {
                 return embedding_grad_cuda(dtype_of<T>(), DType::kFloat, dy.data(), ids.data(), dweight.data(), kRows, kColumns, TableRows::all(kColumns),
                                            workspace.data(), nullptr);
               });
  });
}

}  // namespace halo::cuda::bench
