#include "ops/swi_glu_grad/swi_glu_grad.h"

#include "ops/binding.h"

namespace halo {

struct SwiGluGrad {
  static constexpr Schema schema{.name = "SwiGluGrad", .in = "dY: T, gate: T, up: T", .out = "dGate: T, dUp: T", .types = "T: float, float16, bfloat16"};

  explicit SwiGluGrad(const Attributes&) {}

  Status infer(Types in, ResultTypes out) const {
    const Shape &dy = in[0].shape, &gate = in[1].shape, &up = in[2].shape;
    HALO_REQUIRE(up.may_equal(gate), "up " << gate << ", as gate", up, "Give two tensors of one shape.");
    HALO_REQUIRE(dy.may_equal(gate), "dY " << gate << ", as gate", dy, "Give the gradient of SwiGlu's Y.");
    out[0] = in[1];
    out[1] = in[2];
    return {};
  }

  Status compute(Call& c) const {
    return dispatch(c.in(0).type,
                    [&]<class T>() { swi_glu_grad_cpu(c.data<T>(0), c.data<T>(1), c.data<T>(2), c.result<T>(0), c.result<T>(1), c.in(0).shape.count(), c); });
  }

#ifdef HALO_CUDA
  Status compute_cuda(cuda::OpLaunch& c) const {
    return swi_glu_grad_cuda(c.in(0).type, c.data(0), c.data(1), c.data(2), c.result(0), c.result(1), c.in(0).shape.count(), c.stream());
  }
#endif
};

HALO_REGISTER_OP(SwiGluGrad);

}  // namespace halo
