#include "ops/weighted_sum/weighted_sum.h"

#include "ops/binding.h"

namespace halo {

struct WeightedSum {
  static constexpr Schema schema{
      .name = "WeightedSum", .in = "S: F, X: T, keep: F, weight: F", .out = "Y: F", .types = "F: float; T: float, float16, bfloat16"};

  explicit WeightedSum(const Attributes&) {}

  Status infer(Types in, ResultTypes out) const {
    const Shape& sum = in[0].shape;
    HALO_REQUIRE(in[1].shape.may_equal(sum), "X of S's shape " << sum, in[1].shape, "Give what is added to each element of S.");
    for (size_t i = 2; i < 4; ++i) HALO_REQUIRE(in[i].shape.rank() == 0, "scalars []", in[i].shape, "Reshape them to no axis.");
    out[0] = in[0];
    return {};
  }

  Status compute(Call& c) const {
    return dispatch(c.in(1).type, [&]<class T>() {
      weighted_sum_cpu(c.data<float>(0), c.data<T>(1), c.data<float>(2), c.data<float>(3), c.result<float>(0), c.in(0).shape.count(), c);
    });
  }

#ifdef HALO_CUDA
  Status compute_cuda(cuda::OpLaunch& c) const {
    return weighted_sum_cuda(c.in(1).type, c.data<float>(0), c.data(1), c.data<float>(2), c.data<float>(3), c.result<float>(0), c.in(0).shape.count(),
                             c.stream());
  }
#endif
};

HALO_REGISTER_OP(WeightedSum);

}  // namespace halo
