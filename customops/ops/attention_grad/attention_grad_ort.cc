#include "ops/attention_grad/attention_grad.h"

#include "ops/attention/attention_types.h"
#include "ops/binding.h"
#ifdef HALO_CUDA
#include "ops/attention_grad/attention_grad_cudnn.h"
#include "provider/bindings/attention_choice.h"
#endif

namespace halo {

struct AttentionGrad {
  static constexpr Schema schema{.name = "AttentionGrad",
                                 .in = "dY: T, Q: T, K: T, V: T, Y: T, logSumExp: float, mask?: I, documentIds?: I",
                                 .out = "dQ: T, dK: T, dV: T",
                                 .types = "T: float, float16, bfloat16; I: int64"};

  explicit AttentionGrad(const Attributes& attributes)
      : scale(attributes.real("scale", 0)),
        causal(attributes.integer("causal", 1) != 0),
        window(attributes.integer("window", 0)),
        layout(attributes.text("layout")) {}

  Status infer(Types in, ResultTypes out) const {
    HALO_RETURN_IF_ERROR(check_layout(layout));
    const HeadLayout heads = head_layout(layout).value();
    const Shape& given = in[1].shape;
    const Shape q = by_head(given, heads);
    HALO_RETURN_IF_ERROR(check_attention(q, by_head(in[2].shape, heads), by_head(in[3].shape, heads), in[6], in[7], causal, window));
    HALO_REQUIRE(in[0].shape.may_equal(given) && in[4].shape.may_equal(given), "dY and Y of the shape of Q " << given, in[0].shape << " and " << in[4].shape,
                 "Take them from the same attention.");
    HALO_REQUIRE(in[5].shape.may_equal({q[0], q[1], q[2]}), "logSumExp (B, H, T) for Q " << q, in[5].shape, "Take it from the same attention.");
    for (size_t i = 0; i < 3; ++i) out[i] = in[i + 1];
    return {};
  }

  Status compute(Call& c) const {
    const AttentionSizes sizes = attention_sizes(c.in(1).shape, c.in(2).shape, head_layout(layout).value());
    const AttentionMask mask{.mask = c.data<int64_t>(6), .documents = c.data<int64_t>(7), .causal = causal, .window = window};
    return dispatch(c.in(0).type, [&]<class T>() {
      const auto work = c.scratch<float>(attention_grad_work<T>(sizes, mask.documents != nullptr));
      const AttentionGradInputs<T> in{c.data<T>(0), c.data<T>(1), c.data<T>(2), c.data<T>(3), c.data<T>(4), c.data<float>(5)};
      const AttentionGradOutputs<T> out{c.result<T>(0), c.result<T>(1), c.result<T>(2)};
      attention_grad_cpu(in, mask, out, sizes, attention_scale(scale, sizes), work.data(), c, c);
    });
  }

#ifdef HALO_CUDA
  Status compute_cuda(cuda::OpLaunch& c) const {
    const AttentionSizes sizes = attention_sizes(c.in(1).shape, c.in(2).shape, head_layout(layout).value());
    const AttentionMask mask{.mask = c.data<int64_t>(6), .documents = c.data<int64_t>(7), .causal = causal, .window = window};
    const AttentionGradBuffers buffers{c.data(0), c.data(1), c.data(2), c.data(3), c.data(4), c.data<float>(5), c.result(0), c.result(1), c.result(2)};
    const DType type = c.in(1).type;
    const float factor = attention_scale(scale, sizes);
    bool is_by_cudnn = false;
    HALO_RETURN_IF_ERROR(cuda::choose_attention(c, type, mask, sizes,
                                                {buffers.dy, buffers.q, buffers.k, buffers.v, buffers.y, buffers.dq, buffers.dk, buffers.dv}, &is_by_cudnn));
    cuda::CudnnAttention& cudnn = c.device().attention();
    int64_t bytes = attention_grad_workspace_cuda(sizes);
    if (is_by_cudnn) HALO_RETURN_IF_ERROR(attention_grad_cudnn_workspace(cudnn, type, buffers, mask, sizes, &bytes));
    HALO_WORKSPACE(work, c, bytes);
    if (is_by_cudnn) return attention_grad_cudnn(cudnn, type, buffers, mask, sizes, factor, work.data(), c.stream());
    return attention_grad_cuda(type, buffers, mask, sizes, factor, nullptr, work.data(), c.stream());
  }
#endif

  float scale;
  bool causal;
  int64_t window;
  std::string layout;
};

HALO_REGISTER_OP(AttentionGrad);

}  // namespace halo
