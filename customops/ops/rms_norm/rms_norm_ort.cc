#include "ops/rms_norm/rms_norm.h"

#include "common/absolute_max.h"
#include "ops/binding.h"

namespace halo {

struct RmsNorm {
  static constexpr Schema schema{
      .name = "RmsNorm", .in = "X: T, weight: T", .out = "Y: T, invRms: float, absmax?: float", .types = "T: float, float16, bfloat16"};

  explicit RmsNorm(const Attributes& attributes) : epsilon(attributes.real("epsilon", 1e-5f)), has_max(attributes.integer("absmax", 0) != 0) {}

  Status infer(Types in, ResultTypes out) const {
    const Shape &x = in[0].shape, &weight = in[1].shape;
    HALO_REQUIRE(x.rank() >= 1, "X (..., C)", x, "Reshape it to rows.");
    HALO_REQUIRE(weight.may_equal({x[-1]}), "weight [" << x[-1] << "], the last axis of X " << x, weight, "Give a weight for each column.");
    out[0] = in[0];
    out[1] = {.type = DType::kFloat, .shape = Shape(x.sizes().first(static_cast<size_t>(x.rank() - 1)))};
    out[2] = {.type = DType::kFloat, .shape = {}, .present = has_max};
    return {};
  }

  Status compute(Call& c) const {
    return dispatch(c.in(0).type, [&]<class T>() {
      rms_norm_cpu(c.data<T>(0), c.data<T>(1), c.result<T>(0), c.result<float>(1), c.out(1).shape.count(), c.in(0).shape[-1], epsilon, c);
      if (has_max) absolute_max_cpu(c.result<T>(0), c.in(0).shape.count(), c.result<float>(2), c);
    });
  }

#ifdef HALO_CUDA
  Status compute_cuda(cuda::OpLaunch& c) const {
    return rms_norm_cuda(c.in(0).type, c.data(0), c.data(1), c.result(0), c.result<float>(1), has_max ? c.result<float>(2) : nullptr, c.out(1).shape.count(),
                         c.in(0).shape[-1], epsilon, c.stream());
  }
#endif

  float epsilon;
  bool has_max;
};

HALO_REGISTER_OP(RmsNorm);

}  // namespace halo
