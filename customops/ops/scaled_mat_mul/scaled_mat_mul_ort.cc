#include "ops/scaled_mat_mul/scaled_mat_mul.h"

#include "common/conversions.h"
#include "ops/binding.h"

namespace halo {

struct ScaledMatMul {
  static constexpr Schema schema{.name = "ScaledMatMul",
                                 .in = "A: C, scaleA: float, B: D, scaleB: float, addend?: R",
                                 .out = "Y: R",
                                 .types = "C: float8e4m3fn, float8e5m2, int8; D: float8e4m3fn, float8e5m2, int8; R: float, float16, bfloat16"};

  explicit ScaledMatMul(const Attributes& attributes)
      : trans_a(attributes.integer("transA", 0) != 0),
        trans_b(attributes.integer("transB", 0) != 0),
        to(static_cast<DType>(attributes.integer("to", static_cast<int64_t>(DType::kFloat)))) {}

  Status infer(Types in, ResultTypes out) const {
    const Shape &a = in[0].shape, &b = in[2].shape;
    HALO_REQUIRE(a.rank() == 2 && b.rank() == 2, "two matrices", a << " and " << b, "Reshape them to rows and columns.");
    HALO_REQUIRE(Shape::may_equal(a[trans_a ? 0 : 1], b[trans_b ? 1 : 0]), "matrices that share the contracted dimension",
                 a << (trans_a ? " transposed, " : ", ") << b << (trans_b ? " transposed" : ""), "Check the transpose flags.");
    HALO_REQUIRE(to == DType::kFloat || to == DType::kFloat16 || to == DType::kBFloat16, "a product in float, float16 or bfloat16", to,
                 "Correct the attribute to.");
    out[0] = {.type = to, .shape = {a[trans_a ? 1 : 0], b[trans_b ? 0 : 1]}};
    HALO_REQUIRE(!in[4].present || (in[4].type == to && in[4].shape.may_equal(out[0].shape)), "an addend " << to << " " << out[0].shape,
                 in[4].type << " " << in[4].shape, "Give what is added to each element of Y.");
    return {};
  }

  Status compute(Call& c) const {
    const Shape& a = c.in(0).shape;
    const int64_t m = c.out(0).shape[0], n = c.out(0).shape[1], k = a[trans_a ? 0 : 1];
    const auto decoded = c.scratch<float>(m * k + k * n), sums = c.scratch<float>(to == DType::kFloat ? 0 : m * n);
    Status status;
    HALO_RETURN_IF_ERROR(dispatch(to, [&]<class R>() {
      narrow(c.result<R>(0), m * n, sums.data(), c, [&](float* y) {
        status = scaled_mat_mul_cpu({c.data<uint8_t>(0), c.data<float>(1), c.in(0).type}, {c.data<uint8_t>(2), c.data<float>(3), c.in(2).type}, y, trans_a,
                                    trans_b, m, n, k, decoded.data(), c, c);
        if (c.has(4)) add_cpu(y, c.data<R>(4), m * n, c);
      });
    }));
    return status;
  }

#ifdef HALO_CUDA
  Status compute_cuda(cuda::OpLaunch& c) const {
    const Shape& a = c.in(0).shape;
    const int64_t m = c.out(0).shape[0], n = c.out(0).shape[1], k = a[trans_a ? 0 : 1];
    const QuantizedMatrix left{c.data<uint8_t>(0), c.data<float>(1), c.in(0).type}, right{c.data<uint8_t>(2), c.data<float>(3), c.in(2).type};
    HALO_WORKSPACE(work, c, scaled_mat_mul_workspace_cuda(left, right, to, trans_a, trans_b, m, n, k));
    return scaled_mat_mul_cuda(c.device().products(), left, right, to, c.result(0), trans_a, trans_b, m, n, k, work.data(), work.bytes(), c.stream(),
                               c.data(4));
  }
#endif

  bool trans_a, trans_b;
  DType to;
};

HALO_REGISTER_OP(ScaledMatMul);

}  // namespace halo
