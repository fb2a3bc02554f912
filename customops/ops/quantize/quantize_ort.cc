#include "common/codes.h"
#include "ops/binding.h"
#include "ops/quantize/quantize.h"

namespace halo {

struct Quantize {
  static constexpr Schema schema{.name = "Quantize",
                                 .in = "X: T, absmax?: float",
                                 .out = "Q: C, scale: float, transposed?: C",
                                 .types = "T: float, float16, bfloat16; C: float8e4m3fn, float8e5m2, int8"};

  explicit Quantize(const Attributes& attributes) : format(attributes.text("format")), transposed(attributes.integer("transposed", 0) != 0) {}

  Status infer(Types in, ResultTypes out) const {
    const Shape& x = in[0].shape;
    HALO_REQUIRE(!transposed || x.rank() == 2, "a matrix where transposed is 1", x, "Reshape it to rows and columns.");
    HALO_REQUIRE(!in[1].present || in[1].shape.rank() == 0, "absmax []", in[1].shape, "Reshape it to no axis.");
    out[2].present = transposed;
    return dispatch_format(format, [&]<class Format>() {
      out[0] = {.type = Format::kType, .shape = in[0].shape};
      out[1] = {.type = DType::kFloat, .shape = {}};
      if (transposed) out[2] = {.type = Format::kType, .shape = {x[1], x[0]}};
    });
  }

  Status compute(Call& c) const {
    const int64_t count = c.in(0).shape.count();
    const auto partial = c.scratch<float>(c.has(1) ? 0 : quantize_partials(count));
    return dispatch_format(format, [&]<class Format>() {
      HALO_RETURN_IF_ERROR(dispatch(c.in(0).type, [&]<class T>() {
        quantize_cpu<Format>(c.data<T>(0), c.data<float>(1), c.result<uint8_t>(0), c.result<float>(1), count, partial.data(), c);
      }));
      if (transposed) transpose_codes_cpu(c.result<uint8_t>(0), c.result<uint8_t>(2), c.in(0).shape[0], c.in(0).shape[1], c);
      return Status();
    });
  }

#ifdef HALO_CUDA
  Status compute_cuda(cuda::OpLaunch& c) const {
    const Shape& x = c.in(0).shape;
    const int64_t rows = transposed ? x[0] : 1, columns = transposed ? x[1] : x.count();
    HALO_WORKSPACE(work, c, quantize_workspace_cuda());
    return quantize_cuda(format.c_str(), c.in(0).type, c.data(0), c.data<float>(1), c.result(0), transposed ? c.result(2) : nullptr, c.result<float>(1), rows,
                         columns, work.data(), c.stream());
  }
#endif

  std::string format;
  bool transposed;
};

HALO_REGISTER_OP(Quantize);

}  // namespace halo
