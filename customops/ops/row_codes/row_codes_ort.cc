#include "common/codes.h"
#include "ops/binding.h"
#include "ops/row_codes/row_codes.h"

namespace halo {

namespace {

/// How rows lie in blocks. Sizes are known when kernels run.
struct Blocks {
  int64_t block, count;  // elements of one, and all of a tensor

  static Status of(const Shape& x, int64_t block, Blocks* blocks) {
    HALO_REQUIRE(x.rank() > 0 && block > 0 && x.count(1, x.rank()) % block == 0, "rows of whole blocks", x << " in blocks of " << block,
                 "Give a block that divides the elements of a row.");
    *blocks = {block, x.count() / block};
    return {};
  }
};

bool is_known(const Shape& x) {
  const auto sizes = x.sizes();
  return std::find(sizes.begin(), sizes.end(), Shape::kUnknown) == sizes.end();
}

}  // namespace

struct QuantizeRows {
  static constexpr Schema schema{
      .name = "QuantizeRows", .in = "X: T", .out = "Q: C, scales: float", .types = "T: float, float16, bfloat16; C: float8e4m3fn, float8e5m2, int8"};

  explicit QuantizeRows(const Attributes& attributes) : format(attributes.text("format")), block(attributes.integer("block", 0)) {}

  Status infer(Types in, ResultTypes out) const {
    HALO_REQUIRE(format != E3M2::kName, "format e4m3, e5m2 or int8", format, "Give one of them.");
    const Shape& x = in[0].shape;
    out[1] = {.type = DType::kFloat, .shape = {x.rank() > 0 ? x[0] : Shape::kUnknown, Shape::kUnknown}};
    if (is_known(x)) {
      Blocks blocks{};
      HALO_RETURN_IF_ERROR(Blocks::of(x, block, &blocks));
      out[1].shape = {x[0], x.count(1, x.rank()) / block};
    }
    return dispatch_format(format, [&]<class Format>() { out[0] = {.type = Format::kType, .shape = x}; });
  }

  Status compute(Call& c) const {
    return dispatch_format(format, [&]<class Format>() {
      return dispatch(c.in(0).type, [&]<class T>() {
        if constexpr (!std::is_same_v<Format, E3M2>) {
          quantize_rows_cpu<Format>(c.data<T>(0), c.result<uint8_t>(0), c.result<float>(1), c.in(0).shape.count() / block, block, c);
        }
      });
    });
  }

#ifdef HALO_CUDA
  Status compute_cuda(cuda::OpLaunch& c) const {
    return quantize_rows_cuda(format.c_str(), c.in(0).type, c.data(0), c.result(0), c.result<float>(1), c.in(0).shape.count() / block, block, c.stream());
  }
#endif

  std::string format;
  int64_t block;
};

struct SumRows {
  static constexpr Schema schema{.name = "SumRows", .in = "Q: C, scales: float", .out = "Y: float", .types = "C: float8e4m3fn, float8e5m2, int8"};

  explicit SumRows(const Attributes& attributes) : block(attributes.integer("block", 0)), parts(attributes.integer("parts", 0)) {}

  Status infer(Types in, ResultTypes out) const {
    const Shape& q = in[0].shape;
    std::vector<int64_t> sizes(q.sizes().begin(), q.sizes().end());
    HALO_REQUIRE(!sizes.empty() && parts > 0 && (sizes[0] == Shape::kUnknown || sizes[0] % parts == 0), "as many rows of each of " << parts << " parts", q,
                 "Give the number of tensors.");
    if (sizes[0] != Shape::kUnknown) sizes[0] /= parts;
    out[0] = {.type = DType::kFloat, .shape = Shape(sizes)};
    if (!is_known(q)) return {};
    Blocks blocks{};
    HALO_RETURN_IF_ERROR(Blocks::of(q, block, &blocks));
    const Shape scales = {q[0], q.count(1, q.rank()) / block};
    HALO_REQUIRE(in[1].shape.may_equal(scales), "scales " << scales, in[1].shape, "Give the scales of these codes.");
    return {};
  }

  Status compute(Call& c) const {
    const int64_t blocks = c.out(0).shape.count() / block;
    return dispatch_codes(c.in(0).type,
                          [&]<class Format>() { sum_rows_cpu<Format>(c.data<uint8_t>(0), c.data<float>(1), c.result<float>(0), parts, blocks, block, c); });
  }

#ifdef HALO_CUDA
  Status compute_cuda(cuda::OpLaunch& c) const {
    return sum_rows_cuda(c.in(0).type, c.data(0), c.data<float>(1), c.result<float>(0), parts, c.out(0).shape.count() / block, block, c.stream());
  }
#endif

  int64_t block, parts;
};

HALO_REGISTER_OP(QuantizeRows);
HALO_REGISTER_OP(SumRows);

}  // namespace halo
