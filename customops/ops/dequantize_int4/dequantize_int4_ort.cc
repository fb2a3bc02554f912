#include "ops/binding.h"
#include "ops/dequantize_int4/dequantize_int4.h"

namespace halo {

struct DequantizeInt4 {
  static constexpr Schema schema{
      .name = "DequantizeInt4", .in = "codes: uint8, scales: float16, zeros: uint8", .out = "X: T", .types = "T: float, float16, bfloat16"};

  explicit DequantizeInt4(const Attributes& attributes)
      : columns(attributes.integer("columns", 0)), to(static_cast<DType>(attributes.integer("to", static_cast<int64_t>(DType::kFloat)))) {}

  Status infer(Types in, ResultTypes out) const {
    HALO_REQUIRE(columns > 0, "columns of 1 or more", columns, "Set the attribute columns.");
    HALO_REQUIRE(in[0].shape.rank() == 2, "codes of rank 2", in[0].shape, "Code a matrix.");
    const int64_t rows = in[0].shape[0], blocks = int4_blocks(columns);
    const Shape codes{rows, blocks * (kInt4Block / 2)}, scales{rows, blocks};
    HALO_REQUIRE(in[0].shape.may_equal(codes), "codes " << codes, in[0].shape, "Code whole blocks of rows.");
    HALO_REQUIRE(in[1].shape.may_equal(scales), "scales " << scales, in[1].shape, "Give one for each block.");
    HALO_REQUIRE(in[2].shape.may_equal(scales), "zeros " << scales, in[2].shape, "Give one for each block.");
    HALO_REQUIRE(to == DType::kFloat || to == DType::kFloat16 || to == DType::kBFloat16, "numbers in float, float16 or bfloat16", to,
                 "Correct the attribute to.");
    out[0] = {.type = to, .shape = {rows, columns}};
    return {};
  }

  Status compute(Call& c) const {
    return dispatch(to, [&]<class T>() { dequantize_int4_cpu(matrix(c), c.result<T>(0), c); });
  }

#ifdef HALO_CUDA
  Status compute_cuda(cuda::OpLaunch& c) const { return dequantize_int4_cuda(to, matrix(c), c.result(0), c.stream()); }
#endif

  template <class C>
  Int4Matrix matrix(C& c) const {
    return {c.template data<uint8_t>(0), c.template data<Float16>(1), c.template data<uint8_t>(2), c.in(0).shape[0], columns};
  }

  int64_t columns;
  DType to;
};

HALO_REGISTER_OP(DequantizeInt4);

}  // namespace halo
