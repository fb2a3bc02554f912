// The gradient of attention, by our kernels and by cuDNN.
#include "ops/attention/attention_bench.h"
#include "ops/attention_grad/attention_grad.h"
#include "ops/attention_grad/attention_grad_cudnn.h"

namespace halo::cuda::bench {

HALO_BENCH(attention_grad) {
  for_attentions([&]<class T>(const AttentionTensors<T>& in) {
    constexpr DType kType = dtype_of<T>();
    Array<T> dy(in.queries());
    fill_normal(dy);
    const Array<T> dq(in.queries()), dk(in.keys()), dv(in.keys());
    const AttentionGradBuffers buffers{dy.data(), in.q.data(), in.k.data(), in.v.data(), in.y.data(), in.sums.data(), dq.data(), dk.data(), dv.data()};
    const Array<uint8_t> own_workspace(attention_grad_workspace_cuda(in.sizes));
    for (const AttentionForm& form : in.forms) {
      const Work work = in.work(bench, 5, form);
      bench.note(in.forward(form));  // the gradient wants its results
      bench.time(std::string("attention_grad") + form.name, name_of(kType), in.shape(), work,
                 [&] { return attention_grad_cuda(kType, buffers, form.mask, in.sizes, in.kScale, nullptr, own_workspace.data(), nullptr); });
      CudnnAttention& cudnn = bench.attention();
      if (!cudnn.open().ok() || !check_attention_cudnn(kType, form.mask, in.sizes).ok()) continue;
      int64_t bytes = 0;
      bench.note(attention_grad_cudnn_workspace(cudnn, kType, buffers, form.mask, in.sizes, &bytes));
      const Array<uint8_t> workspace(bytes);
      bench.time(std::string("attention_grad by cuDNN") + form.name, name_of(kType), in.shape(), work,
                 [&] { return attention_grad_cudnn(cudnn, kType, buffers, form.mask, in.sizes, in.kScale, workspace.data(), nullptr); });
    }
  });
}

}  // namespace halo::cuda::bench
