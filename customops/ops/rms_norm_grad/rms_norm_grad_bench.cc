#include "ops/rms_norm_grad/rms_norm_grad.h"
#include "provider/benchmarks/bench.h"

namespace halo::cuda::bench {

HALO_BENCH(rms_norm_grad) {
  for_types([&]<class T>() {
    Array<T> dy(kCount), x(kCount), addend(kCount), weight(kColumns);
    const Array<T> dx(kCount), dweight(kColumns);
    Array<float> inv_rms(kRows), absmax(1);
    fill_normal(dy);
    fill_normal(x);
    fill_normal(addend);
    fill_normal(weight);
    fill_normal(inv_rms);
    const Array<uint8_t> workspace(rms_norm_grad_workspace_cuda(kRows, kColumns));
    for (const bool adds : {false, true}) {
      bench.time(adds ? "rms_norm_grad added to, with maximum" : "rms_norm_grad", name_of(dtype_of<T>()), shape_of({kRows, kColumns}),
                 {.bytes = (adds ? 4 : 3) * kTensorBytes<T>}, [&] {
                   return rms_norm_grad_cuda(dtype_of<T>(), dy.data(), x.data(), weight.data(), inv_rms.data(), adds ? addend.data() : nullptr, dx.data(),
                                             dweight.data(), adds ? absmax.data() : nullptr, kRows, kColumns, workspace.data(), nullptr);
                 });
    }
  });
}

}  // namespace halo::cuda::bench
