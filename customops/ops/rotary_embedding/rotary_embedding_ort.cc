#include "common/absolute_max.h"
#include "common/head_shapes.h"
#include "ops/binding.h"
#include "ops/rotary_embedding/rotary_embedding.h"

namespace halo {

struct RotaryEmbedding {
  static constexpr Schema schema{.name = "RotaryEmbedding",
                                 .in = "X: T, cos: float, sin: float, positionIds?: I",
                                 .out = "Y: T, absmax?: float",
                                 .types = "T: float, float16, bfloat16; I: int64"};

  explicit RotaryEmbedding(const Attributes& attributes)
      : inverse(attributes.integer("inverse", 0) != 0), has_max(attributes.integer("absmax", 0) != 0), layout(attributes.text("layout")) {}

  Status infer(Types in, ResultTypes out) const {
    HALO_RETURN_IF_ERROR(check_layout(layout));
    const Shape x = by_head(in[0].shape, head_layout(layout).value());
    HALO_REQUIRE(x.rank() == 4 && (x[3] == Shape::kUnknown || x[3] % 2 == 0), "X (B, H, T, D) with an even D", x, "Pad or split the heads.");
    const int64_t half = x[3] == Shape::kUnknown ? Shape::kUnknown : x[3] / 2;
    for (const Shape* table : {&in[1].shape, &in[2].shape}) {
      HALO_REQUIRE(table->may_equal({Shape::kUnknown, half}), "tables (P, D/2) for X " << x, *table, "Leave out the repeated half of the angles.");
    }
    HALO_REQUIRE(in[1].shape.may_equal(in[2].shape), "tables of one size", in[1].shape << " and " << in[2].shape, "Take both from the same positions.");
    HALO_REQUIRE(!in[3].present || in[3].shape.may_equal({x[0], x[2]}), "positions (B, T) for X " << x, in[3].shape, "Expand them to the batch.");
    out[0] = in[0];
    out[1] = {.type = DType::kFloat, .shape = {}, .present = has_max};
    return {};
  }

  Status compute(Call& c) const {
    const RotarySizes sizes = sizes_of(c.in(0).shape, c.in(1).shape);
    return dispatch(c.in(0).type, [&]<class T>() -> Status {
      HALO_RETURN_IF_ERROR(rotary_embedding_cpu(c.data<T>(0), c.data<float>(1), c.data<float>(2), c.data<int64_t>(3), c.result<T>(0), sizes, inverse, c));
      if (has_max) absolute_max_cpu(c.result<T>(0), c.in(0).shape.count(), c.result<float>(1), c);
      return {};
    });
  }

#ifdef HALO_CUDA
  Status compute_cuda(cuda::OpLaunch& c) const {
    const RotarySizes sizes = sizes_of(c.in(0).shape, c.in(1).shape);
    HALO_REQUIRE(c.in(3).present || sizes.tokens <= sizes.positions, "tables of at least " << sizes.tokens << " positions", sizes.positions,
                 "Give the angles of every position.");
    return rotary_embedding_cuda(c.in(0).type, c.data(0), c.data<float>(1), c.data<float>(2), c.data<int64_t>(3), c.result(0),
                                 has_max ? c.result<float>(1) : nullptr, sizes, inverse, c.stream());
  }
#endif

  RotarySizes sizes_of(const Shape& given, const Shape& table) const {
    const HeadLayout heads = head_layout(layout).value();
    const Shape x = by_head(given, heads);
    return {.batch = x[0], .heads = x[1], .tokens = x[2], .dim = x[3], .positions = table[0], .layout = heads};
  }

  bool inverse, has_max;
  std::string layout;
};

HALO_REGISTER_OP(RotaryEmbedding);

}  // namespace halo
