#include "ops/weighted_sum/weighted_sum.h"

#include "ops/rounding_binding.h"

namespace halo {

struct WeightedSum {
  static constexpr Schema schema{.name = "WeightedSum",
                                 .in = "S: A, X: T, keep: F, weight: F, step?: I, seed?: I",
                                 .out = "Y: A",
                                 .types = "A: float, bfloat16; T: float, float16, bfloat16; F: float; I: int64"};

  explicit WeightedSum(const Attributes& attributes) : tensor(chance_tensor(attributes)) {}

  Status infer(Types in, ResultTypes out) const {
    const Shape& sum = in[0].shape;
    HALO_REQUIRE(in[1].shape.may_equal(sum), "X of S's shape " << sum, in[1].shape, "Give what is added to each element of S.");
    for (size_t i = 2; i < 6; ++i) HALO_REQUIRE(!in[i].present || in[i].shape.rank() == 0, "scalars []", in[i].shape, "Reshape them to no axis.");
    HALO_REQUIRE(in[0].type == DType::kFloat || (in[4].present && in[5].present), "step and seed, by which bfloat16 is rounded", "none", "Give both.");
    HALO_RETURN_IF_ERROR(check_chance_tensor(tensor));
    out[0] = in[0];
    return {};
  }

  Status compute(Call& c) const {
    return of_sum(c, [&]<class S>() {
      return dispatch(c.in(1).type, [&]<class T>() { weighted_sum_cpu(c.data<S>(0), c.data<T>(1), scalars(c), c.result<S>(0), c.in(0).shape.count(), c); });
    });
  }

#ifdef HALO_CUDA
  Status compute_cuda(cuda::OpLaunch& c) const {
    return of_sum(
        c, [&]<class S>() { return weighted_sum_cuda(c.in(1).type, c.data<S>(0), c.data(1), scalars(c), c.result<S>(0), c.in(0).shape.count(), c.stream()); });
  }
#endif

  /// f of the sum's type.
  template <class C, class F>
  static Status of_sum(const C& c, F&& f) {
    return c.in(0).type == DType::kFloat ? f.template operator()<float>() : f.template operator()<BFloat16>();
  }

  template <class C>
  WeightedSumScalars scalars(const C& c) const {
    return {.keep = c.template data<float>(2), .weight = c.template data<float>(3), .chance = chance_source(c, 4, 5, tensor)};
  }

  int64_t tensor;
};

HALO_REGISTER_OP(WeightedSum);

}  // namespace halo
