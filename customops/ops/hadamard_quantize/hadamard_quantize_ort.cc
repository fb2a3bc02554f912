#include <algorithm>
#include <numeric>

#include "common/codes.h"
#include "common/hadamard_matrix.h"
#include "ops/binding.h"
#include "ops/hadamard_quantize/hadamard_quantize.h"

namespace halo {

struct HadamardQuantize {
  static constexpr Schema schema{.name = "HadamardQuantize",
                                 .in = "X: T",
                                 .out = "Q: C, scale: float, transposed?: C",
                                 .types = "T: float, float16, bfloat16; C: float8e4m3fn, float8e5m2, int8"};

  explicit HadamardQuantize(const Attributes& attributes)
      : axis(static_cast<int>(attributes.integer("axis", 1))),
        sizes(attributes.integers("blocks")),
        inverse(attributes.integer("inverse", 0) != 0),
        format(attributes.text("format")),
        transposed(attributes.integer("transposed", 0) != 0) {
    for (const int64_t size : sizes) {
      const HadamardOrder found = hadamard_order(size);
      blocks.push_back({.size = size, .order = found.order, .log2 = found.log2});
    }
  }

  Status infer(Types in, ResultTypes out) const {
    const Shape& x = in[0].shape;
    HALO_REQUIRE(axis == 0 || axis == 1, "axis 0 or 1", axis, "Correct the attribute.");
    HALO_REQUIRE(x.rank() == 2, "a matrix", x, "Reshape it to rows and columns.");
    const int64_t sum = std::accumulate(sizes.begin(), sizes.end(), int64_t{0});
    HALO_REQUIRE(Shape::may_equal(x[axis], sum), "blocks that sum to the rotated axis of " << x, sum, "Rewrite the graph at this size.");
    out[2].present = transposed;
    return dispatch_format(format, [&]<class Format>() {
      out[0] = {.type = Format::kType, .shape = x};
      out[1] = {.type = DType::kFloat, .shape = {}};
      if (transposed) out[2] = {.type = Format::kType, .shape = {x[1], x[0]}};
    });
  }

  Status compute(Call& c) const {
    for (const HadamardBlock& block : blocks) {
      HALO_REQUIRE(block.order > 0, "blocks with a Hadamard matrix", block.size, "Take the blocks from Hadamard.Blocks.");
    }
    const Shape& x = c.in(0).shape;
    return dispatch_format(format, [&]<class Format>() {
      return dispatch(c.in(0).type, [&]<class T>() {
        const auto rotated = c.scratch<T>(x.count());
        hadamard_quantize_cpu<Format>(c.data<T>(0), rotated.data(), c.result<uint8_t>(0), transposed ? c.result<uint8_t>(2) : nullptr, c.result<float>(1), x[0],
                                      x[1], axis, blocks, inverse, c);
      });
    });
  }

#ifdef HALO_CUDA
  static bool supports_cuda(const Attributes& attributes) {
    const auto blocks = attributes.integers("blocks");
    return std::all_of(blocks.begin(), blocks.end(), hadamard_transform_supports_cuda);
  }

  Status compute_cuda(cuda::OpLaunch& c) const {
    const HadamardSizes of{.rows = c.in(0).shape[0],
                           .columns = c.in(0).shape[1],
                           .axis = axis,
                           .inverse = inverse,
                           .blocks = sizes.data(),
                           .blocks_count = static_cast<int64_t>(sizes.size())};
    void* const turned = transposed ? c.result(2) : nullptr;
    HALO_WORKSPACE(work, c, hadamard_quantize_workspace_cuda(format.c_str(), c.in(0).type, c.data(0), c.result(0), turned, of));
    return hadamard_quantize_cuda(format.c_str(), c.in(0).type, c.data(0), c.result(0), turned, c.result<float>(1), of, work.data(), c.stream());
  }
#endif

  int axis;
  std::vector<int64_t> sizes;
  std::vector<HadamardBlock> blocks;
  bool inverse;
  std::string format;
  bool transposed;
};

HALO_REGISTER_OP(HadamardQuantize);

}  // namespace halo
