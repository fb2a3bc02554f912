#include "ops/attention/attention.h"
#include "ops/attention/attention_types.h"
#include "ops/binding.h"
#ifdef HALO_CUDA
#include "provider/bindings/attention_choice.h"
#endif

namespace halo {

struct Attention {
  static constexpr Schema schema{.name = "Attention",
                                 .in = "Q: T, K: T, V: T, mask?: I, documentIds?: I",
                                 .out = "Y: T, logSumExp: float",
                                 .types = "T: float, float16, bfloat16; I: int64"};

  explicit Attention(const Attributes& attributes)
      : scale(attributes.real("scale", 0)),
        causal(attributes.integer("causal", 1) != 0),
        window(attributes.integer("window", 0)),
        layout(attributes.text("layout")) {}

  Status infer(Types in, ResultTypes out) const {
    HALO_RETURN_IF_ERROR(check_layout(layout));
    const HeadLayout heads = head_layout(layout).value();
    const Shape q = by_head(in[0].shape, heads);
    HALO_RETURN_IF_ERROR(check_attention(q, by_head(in[1].shape, heads), by_head(in[2].shape, heads), in[3], in[4], causal, window));
    out[0] = in[0];
    out[1] = {.type = DType::kFloat, .shape = {q[0], q[1], q[2]}};
    return {};
  }

  Status compute(Call& c) const {
    const AttentionSizes sizes = attention_sizes(c.in(0).shape, c.in(1).shape, head_layout(layout).value());
    const AttentionMask mask{.mask = c.data<int64_t>(3), .documents = c.data<int64_t>(4), .causal = causal, .window = window};
    return dispatch(c.in(0).type, [&]<class T>() {
      const auto work = c.scratch<float>(attention_work<T>(sizes, mask.documents != nullptr));
      attention_cpu(c.data<T>(0), c.data<T>(1), c.data<T>(2), mask, c.result<T>(0), c.result<float>(1), sizes, attention_scale(scale, sizes), work.data(), c,
                    c);
    });
  }

#ifdef HALO_CUDA
  Status compute_cuda(cuda::OpLaunch& c) const {
    const AttentionSizes sizes = attention_sizes(c.in(0).shape, c.in(1).shape, head_layout(layout).value());
    const AttentionMask mask{.mask = c.data<int64_t>(3), .documents = c.data<int64_t>(4), .causal = causal, .window = window};
    const DType type = c.in(0).type;
    void* y = c.result(0);
    auto* sums = c.result<float>(1);
    const float factor = attention_scale(scale, sizes);
    bool is_by_cudnn = false;
    HALO_RETURN_IF_ERROR(cuda::choose_attention(c, type, mask, sizes, {c.data(0), c.data(1), c.data(2), y}, &is_by_cudnn));
    if (!is_by_cudnn) return attention_cuda(type, c.data(0), c.data(1), c.data(2), mask, y, sums, sizes, factor, nullptr, c.stream());
    cuda::CudnnAttention& cudnn = c.device().attention();
    int64_t bytes = 0;
    HALO_RETURN_IF_ERROR(attention_cudnn_workspace(cudnn, type, mask, sizes, sums != nullptr, &bytes));
    HALO_WORKSPACE(work, c, bytes);
    return attention_cudnn(cudnn, type, c.data(0), c.data(1), c.data(2), mask, y, sums, sizes, factor, work.data(), c.stream());
  }
#endif

  float scale;
  bool causal;
  int64_t window;
  std::string layout;
};

HALO_REGISTER_OP(Attention);

}  // namespace halo
