#include "ops/swi_glu/swi_glu.h"

#include "ops/binding.h"

namespace halo {

struct SwiGlu {
  static constexpr Schema schema{.name = "SwiGlu", .in = "gate: T, up: T", .out = "Y: T", .types = "T: float, float16, bfloat16"};

  explicit SwiGlu(const Attributes&) {}

  Status infer(Types in, ResultTypes out) const {
    HALO_REQUIRE(in[1].shape.may_equal(in[0].shape), "up " << in[0].shape << ", as gate", in[1].shape, "Give two tensors of one shape.");
    out[0] = in[0];
    return {};
  }

  Status compute(Call& c) const {
    return dispatch(c.in(0).type, [&]<class T>() { swi_glu_cpu(c.data<T>(0), c.data<T>(1), c.result<T>(0), c.in(0).shape.count(), c); });
  }

#ifdef HALO_CUDA
  Status compute_cuda(cuda::OpLaunch& c) const { return swi_glu_cuda(c.in(0).type, c.data(0), c.data(1), c.result(0), c.in(0).shape.count(), c.stream()); }
#endif
};

HALO_REGISTER_OP(SwiGlu);

}  // namespace halo
