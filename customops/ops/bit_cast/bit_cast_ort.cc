#include "ops/binding.h"
#include "ops/bit_cast/bit_cast.h"

namespace halo {

struct BitCast {
  static constexpr Schema schema{
      .name = "BitCast", .in = "X: A", .out = "Y: B", .types = "A: uint8, float8e4m3fn, float8e5m2; B: uint8, float8e4m3fn, float8e5m2"};
  static constexpr bool kAliasesFirstInput = true;

  explicit BitCast(const Attributes& attributes) : to(static_cast<DType>(attributes.integer("to", static_cast<int64_t>(DType::kUInt8)))) {}

  Status infer(Types in, ResultTypes out) const {
    HALO_REQUIRE((in[0].type == DType::kUInt8) != (to == DType::kUInt8), "uint8 and an 8-bit float", in[0].type << " and " << to,
                 "Correct the attribute to, or cast the value.");
    out[0] = {.type = to, .shape = in[0].shape};
    return {};
  }

  Status compute(Call& c) const {
    bit_cast_cpu(c.data<char>(0), c.result<char>(0), c.in(0).shape.count());
    return {};
  }

#ifdef HALO_CUDA
  Status compute_cuda(cuda::OpLaunch& c) const {
    const void* x = c.data(0);
    void* y = c.result(0);
    if (x == y) return {};
    return HALO_CUDA_STATUS(cudaMemcpyAsync(y, x, static_cast<size_t>(c.in(0).shape.count()), cudaMemcpyDeviceToDevice, c.stream()));
  }
#endif

  DType to;
};

HALO_REGISTER_OP(BitCast);

}  // namespace halo
