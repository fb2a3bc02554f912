#include "ops/linear_cross_entropy/linear_cross_entropy.h"

#include "ops/binding.h"

namespace halo {

struct LinearCrossEntropy {
  static constexpr Schema schema{.name = "LinearCrossEntropy",
                                 .in = "X: T, W: T, labels: I, dLoss: F",
                                 .out = "loss: F, dX: T, dW?: R",
                                 .types = "T: float, float16, bfloat16; I: int64; F: float; R: float, float16, bfloat16"};

  explicit LinearCrossEntropy(const Attributes& attributes)
      : ignored(attributes.integer("ignoreIndex", -100)),
        chunk(attributes.integer("rows", 0)),
        to(static_cast<DType>(attributes.integer("to", static_cast<int64_t>(DType::kFloat)))) {}

  Status infer(Types in, ResultTypes out) const {
    const Shape &x = in[0].shape, &w = in[1].shape;
    HALO_REQUIRE(x.rank() == 2 && w.rank() == 2 && Shape::may_equal(x[1], w[1]), "X (N, H) and W (V, H)", x << " and " << w, "Reshape X to rows.");
    HALO_REQUIRE(in[2].shape.may_equal({x[0]}), "labels [" << x[0] << "], one for each row of X", in[2].shape, "Reshape them to one axis.");
    HALO_REQUIRE(in[3].shape.rank() == 0, "dLoss []", in[3].shape, "Give the gradient of the loss.");
    HALO_REQUIRE(to == DType::kUndefined || to == DType::kFloat || to == in[0].type, "a gradient in float or " << name_of(in[0].type) << ", the type of X", to,
                 "Cast it afterwards.");
    HALO_REQUIRE(chunk > 0, "rows at a time, 1 or more", chunk, "Correct the attribute rows.");
    out[0] = in[3];
    out[1] = in[0];
    out[2].present = to != DType::kUndefined;
    if (out[2].present) out[2] = {.type = to, .shape = w};
    return {};
  }

  Status compute(Call& c) const {
    const LinearCrossEntropySizes s = sizes(c);
    const auto work = c.scratch<float>(linear_cross_entropy_work_cpu(s));
    return dispatch(c.in(0).type, [&]<class T>() {
      const auto run = [&](auto* dw) {
        return linear_cross_entropy_cpu(c.data<T>(0), c.data<T>(1), c.data<int64_t>(2), *c.data<float>(3), c.result<float>(0), c.result<T>(1), dw, s,
                                        work.data(), c, c);
      };
      return to == DType::kUndefined ? run(static_cast<T*>(nullptr)) : to == DType::kFloat ? run(c.result<float>(2)) : run(c.result<T>(2));
    });
  }

#ifdef HALO_CUDA
  Status compute_cuda(cuda::OpLaunch& c) const {
    const LinearCrossEntropySizes s = sizes(c);
    HALO_WORKSPACE(work, c, linear_cross_entropy_workspace_cuda(c.in(0).type, s));
    return linear_cross_entropy_cuda(c.device().products(), c.in(0).type, to, c.data(0), c.data(1), c.data<int64_t>(2), c.data<float>(3), c.result<float>(0),
                                     c.result(1), to == DType::kUndefined ? nullptr : c.result(2), s, work.data(), c.stream());
  }
#endif

  template <class C>
  LinearCrossEntropySizes sizes(const C& c) const {
    const int64_t rows = c.in(0).shape[0];
    return {.rows = rows, .width = c.in(0).shape[1], .classes = c.in(1).shape[0], .chunk = std::max<int64_t>(1, std::min(chunk, rows)), .ignored = ignored};
  }

  int64_t ignored, chunk;
  DType to;
};

HALO_REGISTER_OP(LinearCrossEntropy);

}  // namespace halo
