#include "ops/adam_w/adam_w.h"

#include "plugin/op.h"

namespace halo {

struct AdamW {
  static constexpr Schema schema{.name = "AdamW",
                                 .in = "P: T, gradient: T, m: T, v: T, factor: float, stepSize: float, root2: float, keep?: float",
                                 .out = "updatedP: T, updatedM: T, updatedV: T",
                                 .types = "T: float"};

  explicit AdamW(const Attributes& attributes)
      : factors{.beta1 = attributes.real("beta1", 0),
                .rest1 = attributes.real("rest1", 0),
                .beta2 = attributes.real("beta2", 0),
                .rest2 = attributes.real("rest2", 0),
                .epsilon = attributes.real("epsilon", 0)} {}

  Status infer(Types in, ResultTypes out) const {
    const Shape& p = in[0].shape;
    for (size_t i = 1; i < 4; ++i) HALO_REQUIRE(in[i].shape.may_equal(p), "gradient and moments of P's shape " << p, in[i].shape, "Give the parameter's own.");
    for (size_t i = 4; i < 8; ++i) HALO_REQUIRE(!in[i].present || in[i].shape.rank() == 0, "scalars []", in[i].shape, "Reshape them to no axis.");
    out[0] = out[1] = out[2] = in[0];
    return {};
  }

  Status compute(Call& c) const {
    adam_w_cpu(tensors(c), step(c), factors, c.in(0).shape.count(), c);
    return {};
  }

#ifdef HALO_CUDA
  Status compute_cuda(cuda::OpLaunch& c) const { return adam_w_cuda(tensors(c), step(c), factors, c.in(0).shape.count(), c.stream()); }
#endif

  template <class C>
  static AdamWTensors tensors(C& c) {
    return {.p = c.template data<float>(0),
            .gradient = c.template data<float>(1),
            .m = c.template data<float>(2),
            .v = c.template data<float>(3),
            .new_p = c.template result<float>(0),
            .new_m = c.template result<float>(1),
            .new_v = c.template result<float>(2)};
  }

  template <class C>
  static AdamWStep step(const C& c) {
    return {.factor = c.template data<float>(4), .step_size = c.template data<float>(5), .root2 = c.template data<float>(6), .keep = c.template data<float>(7)};
  }

  AdamWFactors factors;
};

HALO_REGISTER_OP(AdamW);

}  // namespace halo
