#include "ops/rms_norm_grad/rms_norm_grad.h"
#include "provider/benchmarks/bench.h"

namespace halo::cuda::bench {

/// At the widths of LLaMA 3's 8B, of its 1B and of Qwen2.5-1.5B.
HALO_BENCH(rms_norm_grad) {
  for_types([&]<class T>() {
    Array<T> dy(kCount), x(kCount), addend(kCount), weight(kColumns);
    const Array<T> dx(kCount), dweight(kColumns);
    Array<float> inv_rms(kCount / 1536), absmax(1);
    fill_normal(dy);
    fill_normal(x);
    fill_normal(addend);
    fill_normal(weight);
    fill_normal(inv_rms);
    for (const int64_t columns : {kColumns, int64_t{2048}, int64_t{1536}}) {
      const int64_t rows = kCount / columns;
      const Array<uint8_t> workspace(rms_norm_grad_workspace_cuda(rows, columns));
      for (const bool adds : {false, true}) {
        bench.time(adds ? "rms_norm_grad added to, with maximum" : "rms_norm_grad", name_of(dtype_of<T>()), shape_of({rows, columns}),
                   {.bytes = (adds ? 4.0 : 3.0) * static_cast<double>(rows * columns) * sizeof(T)}, [&] {
                     return rms_norm_grad_cuda(dtype_of<T>(), dy.data(), x.data(), weight.data(), inv_rms.data(), adds ? addend.data() : nullptr, dx.data(),
                                               dweight.data(), adds ? absmax.data() : nullptr, rows, columns, workspace.data(), nullptr);
                   });
      }
    }
  });
}

}  // namespace halo::cuda::bench
