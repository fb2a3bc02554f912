// RMSNormalization, ONNX Runtime's SimplifiedLayerNormalization and SkipSimplifiedLayerNormalization, Swish, com.microsoft.QuickGelu.
#include "ops/rms_norm/rms_norm.h"
#include "provider/bindings/axes.h"
#include "provider/bindings/kernel.h"
#include "provider/kernels/add_rms_norm.h"
#include "provider/kernels/elementwise.h"

namespace halo::cuda {

namespace {

/// Y = X / rms(X) * scale over the axes from `axis` on, and where asked for 1 / rms(X) of each row, as SimplifiedLayerNormalization has it.
Kernel make_rms_norm(const NodeAttributes& attributes) {
  return [given = attributes.integer("axis", -1), epsilon = attributes.real("epsilon", 1e-5f)](Launch& launch) -> Status {
    const Tensor x = launch.in(0), scale = launch.in(1);
    const int axis = axis_of(given, x.dims.rank);
    const int64_t rows = x.dims.count(0, axis), columns = x.dims.count(axis, x.dims.rank);
    HALO_REQUIRE(scale.count() == columns, "a scale of " << columns << " elements, those of the axes from " << axis << " on", scale.count(),
                 "Expand it to these axes.");
    Dims statistics = x.dims;
    std::fill(statistics.sizes + axis, statistics.sizes + statistics.rank, 1);
    return rms_norm_cuda(x.type, x.data, scale.data, launch.out(0, x.dims), launch.out<float>(1, statistics), nullptr, rows, columns, epsilon, launch.stream());
  };
}

bool normalizes(const NodeFacts& node) {
  const bool is_16_or_32 = is_float(node.type()) && node.type() != DType::kDouble;
  return is_16_or_32 && node.in.size() == 2 && node.in[1] == node.type() && node.out[0] == node.type() && node.attributes.integer("stash_type", 1) == 1;
}

/// Y = S / rms(S) * gamma over the last axis, S = X + skip, which is output 3.
Kernel make_add_rms_norm(const NodeAttributes& attributes) {
  return [epsilon = attributes.real("epsilon", 1e-5f)](Launch& launch) -> Status {
    const Tensor x = launch.in(0), skip = launch.in(1), gamma = launch.in(2);
    HALO_REQUIRE(x.dims.rank >= 1 && skip.count() == x.count() && skip.dims.sizes[skip.dims.rank - 1] == x.dims.sizes[x.dims.rank - 1],
                 "a skip of " << x.count() << " elements, as the input", skip.count(), "Expand it.");
    const int64_t columns = x.dims.sizes[x.dims.rank - 1];
    HALO_REQUIRE(gamma.count() == columns, "gamma of " << columns << " elements", gamma.count(), "Give one for each channel.");
    void *y = launch.out(0, x.dims), *sum = launch.out(3, x.dims);
    if (x.count() == 0) return {};
    return add_rms_norm(x.type, x.data, skip.data, gamma.data, sum, y, x.count() / columns, columns, epsilon, launch.stream());
  };
}

/// Without a bias. Statistics, outputs 1 and 2, are for training and not made: what reads one is told by ONNX Runtime that it is missing.
bool adds_and_normalizes(const NodeFacts& node) {
  const bool is_16_or_32 = is_float(node.type()) && node.type() != DType::kDouble;
  return is_16_or_32 && node.in.size() == 3 && node.in[1] == node.type() && node.in[2] == node.type() && node.out.size() == 4 && node.out[3] == node.type();
}

template <bool is_quick_gelu>
Kernel make_swish(const NodeAttributes& attributes) {
  return [alpha = attributes.real("alpha", is_quick_gelu ? 1.702f : 1.0f)](Launch& launch) {
    const Tensor x = launch.in(0);
    return swish(x.type, x.data, alpha, launch.out(0, x.dims), x.count(), launch.stream());
  };
}

const KernelRows normalization_kernels({
    {.type = "RMSNormalization", .supports = normalizes, .make = make_rms_norm},
    {.type = "SimplifiedLayerNormalization", .supports = normalizes, .make = make_rms_norm},
    {.type = "SkipSimplifiedLayerNormalization", .supports = adds_and_normalizes, .make = make_add_rms_norm, .domain = "com.microsoft"},
    {.type = "Swish", .supports = is_float_node, .make = make_swish<false>, .in_place = {0}},
    {.type = "QuickGelu", .supports = is_float_node, .make = make_swish<true>, .in_place = {0}, .domain = "com.microsoft"},
});

}  // namespace

}  // namespace halo::cuda
