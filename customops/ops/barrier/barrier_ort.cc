#include "ops/barrier/barrier.h"

#include "ops/binding.h"

namespace halo {

struct Barrier {
  static constexpr Schema schema{.name = "Barrier",
                                 .in = "X: T, after...: A",
                                 .out = "Y: T",
                                 .types =
                                     "T: float, float16, bfloat16, int8, int32, int64, float8e4m3fn, float8e5m2; A: float, float16, bfloat16, int8, "
                                     "uint8"};
  static constexpr bool kAliasesFirstInput = true;

  explicit Barrier(const Attributes&) {}

  Status infer(Types in, ResultTypes out) const {
    out[0] = in[0];
    return {};
  }

  Status compute(Call& c) const {
    barrier_cpu(c.data<char>(0), c.result<char>(0), c.in(0).shape.count() * size_of(c.in(0).type));
    return {};
  }

#ifdef HALO_CUDA
  Status compute_cuda(cuda::OpLaunch& c) const {
    const void* x = c.data(0);
    void* y = c.result(0);
    if (x == y) return {};
    const auto bytes = static_cast<size_t>(c.in(0).shape.count() * size_of(c.in(0).type));
    return HALO_CUDA_STATUS(cudaMemcpyAsync(y, x, bytes, cudaMemcpyDeviceToDevice, c.stream()));
  }
#endif
};

HALO_REGISTER_OP(Barrier);

}  // namespace halo
