#include "ops/adam_w/adam_w.h"

#include "ops/binding.h"

namespace halo {

struct AdamW {
  static constexpr Schema schema{.name = "AdamW",
                                 .in = "P: T, gradient: G, m: T, v: T, factor: F, stepSize: F, root2: F, keep?: F, step?: I, seed?: I",
                                 .out = "updatedP: T, updatedM: T, updatedV: T",
                                 .types = "T: float, bfloat16; G: float, bfloat16; F: float; I: int64"};

  explicit AdamW(const Attributes& attributes)
      : factors{.beta1 = attributes.real("beta1", 0),
                .rest1 = attributes.real("rest1", 0),
                .beta2 = attributes.real("beta2", 0),
                .rest2 = attributes.real("rest2", 0),
                .epsilon = attributes.real("epsilon", 0)},
        tensor(attributes.integer("tensor", 0)) {}

  Status infer(Types in, ResultTypes out) const {
    const Shape& p = in[0].shape;
    const bool is_rounded = in[0].type == DType::kBFloat16;
    for (size_t i = 1; i < 4; ++i) HALO_REQUIRE(in[i].shape.may_equal(p), "gradient and moments of P's shape " << p, in[i].shape, "Give the parameter's own.");
    for (size_t i = 4; i < 10; ++i) HALO_REQUIRE(!in[i].present || in[i].shape.rank() == 0, "scalars []", in[i].shape, "Reshape them to no axis.");
    HALO_REQUIRE(is_rounded || in[1].type == DType::kFloat, "a gradient in float, as P is", in[1].type, "Cast it.");
    HALO_REQUIRE(!is_rounded || (in[8].present && in[9].present), "step and seed, by which bfloat16 is rounded", "none", "Give both.");
    HALO_REQUIRE(tensor >= 0 && tensor < kMostTensors, "a tensor from 0 to " << kMostTensors - 1, tensor, "Number the parameters of the run.");
    out[0] = out[1] = out[2] = in[0];
    return {};
  }

  Status compute(Call& c) const {
    const int64_t count = c.in(0).shape.count();
    return run(c, [&]<class T, class G>(const AdamWTensors<T, G>& t) {
      adam_w_cpu(t, step(c), factors, count, c);
      return Status();
    });
  }

#ifdef HALO_CUDA
  Status compute_cuda(cuda::OpLaunch& c) const {
    const int64_t count = c.in(0).shape.count();
    return run(c, [&]<class T, class G>(const AdamWTensors<T, G>& t) { return adam_w_cuda(t, step(c), factors, count, c.stream()); });
  }
#endif

  /// f of the tensors in their types.
  template <class C, class F>
  static Status run(C& c, F&& f) {
    if (c.in(0).type == DType::kFloat) return f(tensors<float, float>(c));
    return c.in(1).type == DType::kFloat ? f(tensors<BFloat16, float>(c)) : f(tensors<BFloat16, BFloat16>(c));
  }

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
    return {.factor = c.template data<float>(4),
            .step_size = c.template data<float>(5),
            .root2 = c.template data<float>(6),
            .keep = c.template data<float>(7),
            .step = c.template data<int64_t>(8),
            .seed = c.template data<int64_t>(9),
            .tensor = tensor};
  }

  static constexpr int64_t kMostTensors = int64_t{1} << 29;
  AdamWFactors factors;
  int64_t tensor;
};

HALO_REGISTER_OP(AdamW);

}  // namespace halo
