#include "ops/absolute_max/absolute_max.h"
#include "ops/binding.h"

namespace halo {

struct AbsoluteMax {
  static constexpr Schema schema{.name = "AbsoluteMax", .in = "X: T", .out = "Y: F", .types = "T: float, float16, bfloat16; F: float"};

  explicit AbsoluteMax(const Attributes&) {}

  Status infer(Types, ResultTypes out) const {
    out[0] = {.type = DType::kFloat, .shape = Shape(std::span<const int64_t>())};
    return {};
  }

  Status compute(Call& c) const {
    return dispatch(c.in(0).type, [&]<class T>() { absolute_max_cpu(c.data<T>(0), c.in(0).shape.count(), c.result<float>(0), c); });
  }

#ifdef HALO_CUDA
  Status compute_cuda(cuda::OpLaunch& c) const { return absolute_max_cuda(c.in(0).type, c.data(0), c.result<float>(0), c.in(0).shape.count(), c.stream()); }
#endif
};

HALO_REGISTER_OP(AbsoluteMax);

}  // namespace halo
