#include "ops/quantize_blocks/quantize_blocks.h"

#include "ops/binding.h"

namespace halo {

struct QuantizeBlocks {
  static constexpr Schema schema{.name = "QuantizeBlocks", .in = "X: T", .out = "Q: int8, scales: float", .types = "T: float, float16, bfloat16"};

  explicit QuantizeBlocks(const Attributes&) {}

  Status infer(Types in, ResultTypes out) const {
    out[0] = {.type = DType::kInt8, .shape = in[0].shape};
    out[1] = {.type = DType::kFloat, .shape = shape_of_scales(in[0].shape)};
    return {};
  }

  Status compute(Call& c) const {
    return dispatch(c.in(0).type, [&]<class T>() { quantize_blocks_cpu(c.data<T>(0), c.result<uint8_t>(0), c.result<float>(1), c.in(0).shape.count(), c); });
  }

#ifdef HALO_CUDA
  Status compute_cuda(cuda::OpLaunch& c) const {
    return quantize_blocks_cuda(c.in(0).type, c.data(0), c.result<uint8_t>(0), c.result<float>(1), c.in(0).shape.count(), c.stream());
  }
#endif
};

HALO_REGISTER_OP(QuantizeBlocks);

}  // namespace halo
