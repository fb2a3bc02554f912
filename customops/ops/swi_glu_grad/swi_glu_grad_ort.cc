#include "ops/swi_glu_grad/swi_glu_grad.h"

#include "common/absolute_max.h"
#include "ops/binding.h"

namespace halo {

struct SwiGluGrad {
  static constexpr Schema schema{.name = "SwiGluGrad",
                                 .in = "dY: T, gate: G, up: G, gateScales?: float, upScales?: float",
                                 .out = "dGate: T, dUp: T, gateAbsmax?: float, upAbsmax?: float, Y?: T",
                                 .types = "T: float, float16, bfloat16; G: float, float16, bfloat16, int8"};

#ifdef HALO_CUDA
  /// dGate over gate, or dY where gate is codes; dUp over up; Y over dY, if that is left: a thread has read what it writes over, and no other reads it.
  static constexpr cuda::InPlace kOverwrites[] = {{1, 0}, {0, 0}, {2, 1}, {0, 4}};
#endif

  explicit SwiGluGrad(const Attributes& attributes) : has_max(attributes.integer("absmax", 0) != 0), has_y(attributes.integer("again", 0) != 0) {}

  Status infer(Types in, ResultTypes out) const {
    const Shape &dy = in[0].shape, &gate = in[1].shape, &up = in[2].shape;
    HALO_REQUIRE(up.may_equal(gate), "up " << gate << ", as gate", up, "Give two tensors of one shape.");
    HALO_REQUIRE(dy.may_equal(gate), "dY " << gate << ", as gate", dy, "Give the gradient of SwiGlu's Y.");
    const bool is_codes = in[1].type == DType::kInt8;
    HALO_REQUIRE(is_codes || in[1].type == in[0].type, "gate and up as " << in[0].type << ", as dY is, or int8 codes", in[1].type, "Cast them.");
    for (size_t i = 3; i < 5; ++i) {
      HALO_REQUIRE(in[i].present == is_codes, "scales with int8 codes, and none without", (in[i].present ? "some" : "none"), "Take them from QuantizeBlocks.");
      HALO_REQUIRE(!is_codes || in[i].shape.may_equal(shape_of_scales(gate)), "scales " << shape_of_scales(gate), in[i].shape,
                   "Take them from the same QuantizeBlocks.");
    }
    out[0] = {.type = in[0].type, .shape = gate};
    out[1] = {.type = in[0].type, .shape = up};
    HALO_REQUIRE(has_max || !has_y, "absmax = 1 with again = 1", "absmax = 0", "Ask for the maxima too.");
    out[4] = {.type = in[0].type, .shape = gate, .present = has_y};
    out[2] = out[3] = {.type = DType::kFloat, .shape = {}, .present = has_max};
    return {};
  }

  Status compute(Call& c) const {
    const int64_t count = c.in(0).shape.count();
    return dispatch(c.in(0).type, [&]<class T>() {
      T* y = has_y ? c.result<T>(4) : nullptr;
      if (c.has(3)) {
        swi_glu_grad_of_codes_cpu<T>(c.data<T>(0), {c.data<uint8_t>(1), c.data<float>(3)}, {c.data<uint8_t>(2), c.data<float>(4)}, c.result<T>(0),
                                     c.result<T>(1), y, count, c);
      } else {
        swi_glu_grad_cpu(c.data<T>(0), c.data<T>(1), c.data<T>(2), c.result<T>(0), c.result<T>(1), y, count, c);
      }
      for (int i = 0; has_max && i < 2; ++i) absolute_max_cpu(c.result<T>(i), count, c.result<float>(2 + i), c);
    });
  }

#ifdef HALO_CUDA
  Status compute_cuda(cuda::OpLaunch& c) const {
    return swi_glu_grad_cuda(c.in(0).type, c.data(0), c.data(1), c.data(2), c.data<float>(3), c.data<float>(4), c.result(0), c.result(1),
                             has_y ? c.result(4) : nullptr, has_max ? c.result<float>(2) : nullptr, has_max ? c.result<float>(3) : nullptr,
                             c.in(0).shape.count(), c.stream());
  }
#endif

  bool has_max;
  bool has_y;
};

HALO_REGISTER_OP(SwiGluGrad);

}  // namespace halo
