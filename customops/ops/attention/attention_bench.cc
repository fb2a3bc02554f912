// Attention, by our kernel and by cuDNN.
#include "ops/attention/attention_bench.h"

#include "ops/attention/attention_cudnn.h"

namespace halo::cuda::bench {

HALO_BENCH(attention) {
  for_attentions([&]<class T>(const AttentionTensors<T>& in) {
    constexpr DType kType = dtype_of<T>();
    for (const AttentionForm& form : in.forms) {
      const Work work = in.work(bench, 2, form);
      bench.time(std::string("attention") + form.name, name_of(kType), in.shape(), work, [&] { return in.forward(form); });
      CudnnAttention& cudnn = bench.attention();
      if (!cudnn.open().ok() || !check_attention_cudnn(kType, form.mask, in.sizes).ok()) continue;  // the line of versions says whether cuDNN is there
      int64_t bytes = 0;
      bench.note(attention_cudnn_workspace(cudnn, kType, form.mask, in.sizes, true, &bytes));
      const Array<uint8_t> workspace(bytes);
      bench.time(std::string("attention by cuDNN") + form.name, name_of(kType), in.shape(), work, [&] {
        return attention_cudnn(cudnn, kType, in.q.data(), in.k.data(), in.v.data(), form.mask, in.y.data(), in.sums.data(), in.sizes, in.kScale,
                               workspace.data(), nullptr);
      });
    }
  });
}

}  // namespace halo::cuda::bench
