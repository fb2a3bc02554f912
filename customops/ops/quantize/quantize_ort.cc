#include "common/codes.h"
#include "ops/quantize/quantize.h"
#include "plugin/op.h"

namespace halo {

struct Quantize {
  static constexpr Schema schema{
      .name = "Quantize", .in = "X: T", .out = "Q: C, scale: float", .types = "T: float, float16, bfloat16; C: float8e4m3fn, float8e5m2, int8"};

  explicit Quantize(const Attributes& attributes) : format(attributes.text("format")) {}

  Status infer(Types in, ResultTypes out) const {
    return dispatch_format(format, [&]<class Format>() {
      out[0] = {.type = Format::kType, .shape = in[0].shape};
      out[1] = {.type = DType::kFloat, .shape = {}};
    });
  }

  Status compute(Call& c) const {
    const int64_t count = c.in(0).shape.count();
    const auto partial = c.scratch<float>(quantize_partials(count));
    return dispatch_format(format, [&]<class Format>() {
      return dispatch(c.in(0).type, [&]<class T>() { quantize_cpu<Format>(c.data<T>(0), c.result<uint8_t>(0), c.result<float>(1), count, partial.data(), c); });
    });
  }

#ifdef HALO_CUDA
  Status compute_cuda(cuda::OpLaunch& c) const {
    const int64_t count = c.in(0).shape.count();
    HALO_WORKSPACE(work, c, quantize_workspace_cuda(count));
    return quantize_cuda(format.c_str(), c.in(0).type, c.data(0), c.result(0), c.result<float>(1), count, work.data(), c.stream());
  }
#endif

  std::string format;
};

HALO_REGISTER_OP(Quantize);

}  // namespace halo
