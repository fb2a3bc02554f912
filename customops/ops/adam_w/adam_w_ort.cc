#include "ops/adam_w/adam_w_binding.h"

namespace halo {

struct AdamW {
  static constexpr Schema schema{.name = "AdamW",
                                 .in = "P: T, gradient: G, m: T, v: T, factor: F, stepSize: F, root2: F, keep?: F, step?: I, seed?: I",
                                 .out = "updatedP: T, updatedM: T, updatedV: T",
                                 .types = "T: float, bfloat16; G: float, bfloat16; F: float; I: int64"};

  explicit AdamW(const Attributes& attributes) : factors(adam_w_factors(attributes)), tensor(chance_tensor(attributes)) {}

  Status infer(Types in, ResultTypes out) const {
    const Shape& p = in[0].shape;
    const bool is_rounded = in[0].type == DType::kBFloat16;
    for (size_t i = 1; i < 4; ++i) HALO_REQUIRE(in[i].shape.may_equal(p), "gradient and moments of P's shape " << p, in[i].shape, "Give the parameter's own.");
    for (size_t i = 4; i < 10; ++i) HALO_REQUIRE(!in[i].present || in[i].shape.rank() == 0, "scalars []", in[i].shape, "Reshape them to no axis.");
    HALO_REQUIRE(is_rounded || in[1].type == DType::kFloat, "a gradient in float, as P is", in[1].type, "Cast it.");
    HALO_REQUIRE(!is_rounded || (in[8].present && in[9].present), "step and seed, by which bfloat16 is rounded", "none", "Give both.");
    HALO_RETURN_IF_ERROR(check_chance_tensor(tensor));
    out[0] = out[1] = out[2] = in[0];
    return {};
  }

  Status compute(Call& c) const {
    const int64_t count = c.in(0).shape.count();
    return dispatch_adam_w(c, [&]<class T, class G>() {
      adam_w_cpu(tensors<T, G>(c), step(c), factors, count, c);
      return Status();
    });
  }

#ifdef HALO_CUDA
  Status compute_cuda(cuda::OpLaunch& c) const {
    const int64_t count = c.in(0).shape.count();
    return dispatch_adam_w(c, [&]<class T, class G>() { return adam_w_cuda(tensors<T, G>(c), step(c), factors, count, c.stream()); });
  }
#endif

  template <class T, class G, class C>
  static AdamWTensors<T, G> tensors(C& c) {
    return {.p = c.template data<T>(0),
            .gradient = c.template data<G>(1),
            .m = c.template data<T>(2),
            .v = c.template data<T>(3),
            .new_p = c.template result<T>(0),
            .new_m = c.template result<T>(1),
            .new_v = c.template result<T>(2)};
  }

  template <class C>
  AdamWStep step(const C& c) const {
    return adam_w_step(c, 4, 7, chance_source(c, 8, 9, tensor));
  }

  AdamWFactors factors;
  int64_t tensor;
};

HALO_REGISTER_OP(AdamW);

}  // namespace halo
