#include "ops/dequantize_blocks/dequantize_blocks.h"

#include "ops/binding.h"

namespace halo {

struct DequantizeBlocks {
  static constexpr Schema schema{.name = "DequantizeBlocks", .in = "Q: int8, scales: float", .out = "X: T", .types = "T: float, float16, bfloat16"};

  explicit DequantizeBlocks(const Attributes& attributes) : to(static_cast<DType>(attributes.integer("to", static_cast<int64_t>(DType::kFloat)))) {}

  Status infer(Types in, ResultTypes out) const {
    const Shape scales = shape_of_scales(in[0].shape);
    HALO_REQUIRE(in[1].shape.may_equal(scales), "scales " << scales, in[1].shape, "Take them from the same QuantizeBlocks.");
    HALO_REQUIRE(to == DType::kFloat || to == DType::kFloat16 || to == DType::kBFloat16, "numbers in float, float16 or bfloat16", to,
                 "Correct the attribute to.");
    out[0] = {.type = to, .shape = in[0].shape};
    return {};
  }

  Status compute(Call& c) const {
    return dispatch(to, [&]<class T>() { dequantize_blocks_cpu(c.data<uint8_t>(0), c.data<float>(1), c.result<T>(0), c.in(0).shape.count(), c); });
  }

#ifdef HALO_CUDA
  Status compute_cuda(cuda::OpLaunch& c) const {
    return dequantize_blocks_cuda(to, c.data<uint8_t>(0), c.data<float>(1), c.result(0), c.in(0).shape.count(), c.stream());
  }
#endif

  DType to;
};

HALO_REGISTER_OP(DequantizeBlocks);

}  // namespace halo
