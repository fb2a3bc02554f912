#include "ops/swi_glu/swi_glu.h"

#include "common/absolute_max.h"
#include "ops/binding.h"

namespace halo {

struct SwiGlu {
  static constexpr Schema schema{.name = "SwiGlu", .in = "gate: T, up: T", .out = "Y: T, absmax?: float", .types = "T: float, float16, bfloat16"};

#ifdef HALO_CUDA
  /// Y over gate or up: a thread has read what it writes over, and no other reads it.
  static constexpr cuda::InPlace kOverwrites[] = {{0, 0}, {1, 0}};
#endif

  explicit SwiGlu(const Attributes& attributes) : has_max(attributes.integer("absmax", 0) != 0) {}

  Status infer(Types in, ResultTypes out) const {
    HALO_REQUIRE(in[1].shape.may_equal(in[0].shape), "up " << in[0].shape << ", as gate", in[1].shape, "Give two tensors of one shape.");
    out[0] = in[0];
    out[1] = {.type = DType::kFloat, .shape = {}, .present = has_max};
    return {};
  }

  Status compute(Call& c) const {
    const int64_t count = c.in(0).shape.count();
    return dispatch(c.in(0).type, [&]<class T>() {
      swi_glu_cpu(c.data<T>(0), c.data<T>(1), c.result<T>(0), count, c);
      if (has_max) absolute_max_cpu(c.result<T>(0), count, c.result<float>(1), c);
    });
  }

#ifdef HALO_CUDA
  Status compute_cuda(cuda::OpLaunch& c) const {
    return swi_glu_cuda(c.in(0).type, c.data(0), c.data(1), c.result(0), has_max ? c.result<float>(1) : nullptr, c.in(0).shape.count(), c.stream());
  }
#endif

  bool has_max;
};

HALO_REGISTER_OP(SwiGlu);

}  // namespace halo
