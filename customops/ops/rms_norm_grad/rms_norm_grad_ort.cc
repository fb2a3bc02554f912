#include "ops/rms_norm_grad/rms_norm_grad.h"

#include "common/absolute_max.h"
#include "ops/binding.h"

namespace halo {

struct RmsNormGrad {
  static constexpr Schema schema{.name = "RmsNormGrad",
                                 .in = "dY: T, X: T, weight: T, invRms: float, addend?: T",
                                 .out = "dX: T, dWeight: T, absmax?: float",
                                 .types = "T: float, float16, bfloat16"};

  explicit RmsNormGrad(const Attributes& attributes) : has_max(attributes.integer("absmax", 0) != 0) {}

  Status infer(Types in, ResultTypes out) const {
    const Shape &dy = in[0].shape, &x = in[1].shape, &weight = in[2].shape, &inv_rms = in[3].shape;
    HALO_REQUIRE(x.rank() >= 1, "X (..., C)", x, "Reshape it to rows.");
    HALO_REQUIRE(dy.may_equal(x), "dY " << x << ", as X", dy, "Give the gradient of RmsNorm's Y.");
    HALO_REQUIRE(weight.may_equal({x[-1]}), "weight [" << x[-1] << "], the last axis of X " << x, weight, "Give a weight for each column.");
    const Shape rows(x.sizes().first(static_cast<size_t>(x.rank() - 1)));
    HALO_REQUIRE(inv_rms.may_equal(rows), "invRms " << rows << ", as X without its last axis", inv_rms, "Give the second output of RmsNorm.");
    HALO_REQUIRE(!in[4].present || in[4].shape.may_equal(x), "an addend " << x << ", as X", in[4].shape, "Give what is added to each element of dX.");
    out[0] = in[1];
    out[1] = in[2];
    out[2] = {.type = DType::kFloat, .shape = {}, .present = has_max};
    return {};
  }

  Status compute(Call& c) const {
    const int64_t rows = c.in(3).shape.count(), columns = c.in(1).shape[-1];
    const auto partial = c.scratch<float>(rms_norm_grad_partials(rows, columns));
    return dispatch(c.in(0).type, [&]<class T>() {
      rms_norm_grad_cpu(c.data<T>(0), c.data<T>(1), c.data<T>(2), c.data<float>(3), c.data<T>(4), c.result<T>(0), c.result<T>(1), rows, columns, partial.data(),
                        c);
      if (has_max) absolute_max_cpu(c.result<T>(0), rows * columns, c.result<float>(2), c);
    });
  }

#ifdef HALO_CUDA
  Status compute_cuda(cuda::OpLaunch& c) const {
    const int64_t rows = c.in(3).shape.count(), columns = c.in(1).shape[-1];
    HALO_WORKSPACE(work, c, rms_norm_grad_workspace_cuda(rows, columns));
    return rms_norm_grad_cuda(c.in(0).type, c.data(0), c.data(1), c.data(2), c.data<float>(3), c.data(4), c.result(0), c.result(1),
                              has_max ? c.result<float>(2) : nullptr, rows, columns, work.data(), c.stream());
  }
#endif

  bool has_max;
};

HALO_REGISTER_OP(RmsNormGrad);

}  // namespace halo
