#include "ops/adam_w_8_bit/adam_w_8_bit.h"

#include "ops/adam_w/adam_w_binding.h"

namespace halo {

struct AdamW8Bit {
  static constexpr Schema schema{.name = "AdamW8Bit",
                                 .in = "P: T, gradient: G, m: C, mScales: F, v: C, vScales: F, factor: F, stepSize: F, root2: F, step: I, seed: I, keep?: F",
                                 .out = "updatedP: T, updatedM: C, updatedMScales: F, updatedV: C, updatedVScales: F",
                                 .types = "T: float, bfloat16; G: float, bfloat16; C: uint8; F: float; I: int64"};

  explicit AdamW8Bit(const Attributes& attributes) : factors(adam_w_factors(attributes)), tensor(chance_tensor(attributes)) {}

  Status infer(Types in, ResultTypes out) const {
    const Shape& p = in[0].shape;
    for (const size_t i : {1, 2, 4})
      HALO_REQUIRE(in[i].shape.may_equal(p), "gradient and moments of P's shape " << p, in[i].shape, "Give the parameter's own.");
    for (const size_t i : {3, 5}) {
      HALO_REQUIRE(in[i].shape.may_equal(shape_of_scales(p)), "scales " << shape_of_scales(p), in[i].shape, "Give those of the moment.");
    }
    for (size_t i = 6; i < 12; ++i) HALO_REQUIRE(!in[i].present || in[i].shape.rank() == 0, "scalars []", in[i].shape, "Reshape them to no axis.");
    HALO_REQUIRE(in[0].type == DType::kBFloat16 || in[1].type == DType::kFloat, "a gradient in float, as P is", in[1].type, "Cast it.");
    HALO_RETURN_IF_ERROR(check_chance_tensor(tensor));
    out[0] = in[0];
    for (size_t i = 1; i < 5; ++i) out[i] = in[i + 1];
    return {};
  }

  Status compute(Call& c) const {
    const int64_t count = c.in(0).shape.count();
    return dispatch_adam_w(c, [&]<class T, class G>() {
      adam_w_8_bit_cpu(tensors<T, G>(c), step(c), factors, count, c);
      return Status();
    });
  }

#ifdef HALO_CUDA
  Status compute_cuda(cuda::OpLaunch& c) const {
    const int64_t count = c.in(0).shape.count();
    return dispatch_adam_w(c, [&]<class T, class G>() { return adam_w_8_bit_cuda(tensors<T, G>(c), step(c), factors, count, c.stream()); });
  }
#endif

  template <class T, class G, class C>
  static AdamW8BitTensors<T, G> tensors(C& c) {
    const auto moment = [&](int input, int output) {
      return CodedMoment{.codes = c.template data<uint8_t>(input),
                         .scales = c.template data<float>(input + 1),
                         .new_codes = c.template result<uint8_t>(output),
                         .new_scales = c.template result<float>(output + 1)};
    };
    return {.p = c.template data<T>(0), .gradient = c.template data<G>(1), .new_p = c.template result<T>(0), .m = moment(2, 1), .v = moment(4, 3)};
  }

  template <class C>
  AdamWStep step(const C& c) const {
    return adam_w_step(c, 6, 11, chance_source(c, 9, 10, tensor));
  }

  AdamWFactors factors;
  int64_t tensor;
};

HALO_REGISTER_OP(AdamW8Bit);

}  // namespace halo
