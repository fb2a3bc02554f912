#include "ops/square_sum/square_sum.h"

#include "ops/binding.h"

namespace halo {

struct SquareSum {
  static constexpr Schema schema{.name = "SquareSum", .in = "X: T", .out = "Y: F", .types = "T: float, float16, bfloat16; F: float"};

  explicit SquareSum(const Attributes&) {}

  Status infer(Types, ResultTypes out) const {
    out[0] = {.type = DType::kFloat, .shape = Shape(std::span<const int64_t>())};
    return {};
  }

  Status compute(Call& c) const {
    return dispatch(c.in(0).type, [&]<class T>() { square_sum_cpu(c.data<T>(0), c.result<float>(0), c.in(0).shape.count(), c); });
  }

#ifdef HALO_CUDA
  Status compute_cuda(cuda::OpLaunch& c) const {
    const int64_t count = c.in(0).shape.count();
    HALO_WORKSPACE(work, c, square_sum_workspace_cuda(count));
    return square_sum_cuda(c.in(0).type, c.data(0), c.result<float>(0), count, work.data(), work.bytes(), c.stream());
  }
#endif
};

HALO_REGISTER_OP(SquareSum);

}  // namespace halo
