#include <algorithm>
#include <numeric>

#include "common/absolute_max.h"
#include "common/hadamard_matrix.h"
#include "ops/binding.h"
#include "ops/hadamard_transform/hadamard_transform.h"

namespace halo {

struct HadamardTransform {
  static constexpr Schema schema{.name = "HadamardTransform", .in = "X: T", .out = "Y: T, absmax?: float", .types = "T: float, float16, bfloat16"};

  explicit HadamardTransform(const Attributes& attributes)
      : axis(static_cast<int>(attributes.integer("axis", 1))),
        sizes(attributes.integers("blocks")),
        inverse(attributes.integer("inverse", 0) != 0),
        has_max(attributes.integer("absmax", 0) != 0) {
    for (const int64_t size : sizes) {
      const HadamardOrder found = hadamard_order(size);
      blocks.push_back({.size = size, .order = found.order, .log2 = found.log2});
    }
  }

  Status infer(Types in, ResultTypes out) const {
    HALO_REQUIRE(axis == 0 || axis == 1, "axis 0 or 1", axis, "Correct the attribute.");
    HALO_REQUIRE(in[0].shape.rank() == 2, "a matrix", in[0].shape, "Reshape it to rows and columns.");
    const int64_t sum = std::accumulate(sizes.begin(), sizes.end(), int64_t{0});
    HALO_REQUIRE(Shape::may_equal(in[0].shape[axis], sum), "blocks that sum to the rotated axis of " << in[0].shape, sum, "Rewrite the graph at this size.");
    out[0] = in[0];
    out[1] = {.type = DType::kFloat, .shape = {}, .present = has_max};
    return {};
  }

  Status compute(Call& c) const {
    for (const HadamardBlock& block : blocks) {
      HALO_REQUIRE(block.order > 0, "blocks with a Hadamard matrix", block.size, "Take the blocks from Hadamard.Blocks.");
    }
    return dispatch(c.in(0).type, [&]<class T>() {
      hadamard_transform_cpu(c.data<T>(0), c.result<T>(0), c.in(0).shape[0], c.in(0).shape[1], axis, blocks, inverse, c);
      if (has_max) absolute_max_cpu(c.result<T>(0), c.in(0).shape.count(), c.result<float>(1), c);
    });
  }

#ifdef HALO_CUDA
  static bool supports_cuda(const Attributes& attributes) {
    const auto blocks = attributes.integers("blocks");
    return std::all_of(blocks.begin(), blocks.end(), hadamard_transform_supports_cuda);
  }

  Status compute_cuda(cuda::OpLaunch& c) const {
    return hadamard_transform_cuda(c.in(0).type, c.data(0), c.result(0), has_max ? c.result<float>(1) : nullptr, c.in(0).shape[0], c.in(0).shape[1], axis,
                                   sizes.data(), static_cast<int64_t>(sizes.size()), inverse, c.stream());
  }
#endif

  int axis;
  std::vector<int64_t> sizes;
  std::vector<HadamardBlock> blocks;
  bool inverse, has_max;
};

HALO_REGISTER_OP(HadamardTransform);

}  // namespace halo
