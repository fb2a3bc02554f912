// ReduceSum ... ReduceLogSumExp, ArgMax, Softmax, LogSoftmax, CumSum.
#include "provider/kernels/reduce.h"

#include "provider/bindings/axes.h"
#include "provider/bindings/kernel.h"
#include "provider/kernels/arg_max.h"

namespace halo::cuda {

namespace {

/// Axes are an attribute in older opsets and an input in newer ones; the input wins.
template <ReduceOp op>
Kernel make_reduce(const NodeAttributes& attributes) {
  const bool keeps = attributes.integer("keepdims", 1) != 0, none_is_none = attributes.integer("noop_with_empty_axes", 0) != 0;
  return [=, given = attributes.integers("axes")](Launch& launch) -> Status {
    const Tensor x = launch.in(0);
    const auto axes = axes_of(launch, 1, given);
    bool reduced[kMaxRank] = {};
    for (const int64_t axis : axes) reduced[axis_of(axis, x.dims.rank)] = true;
    if (axes.empty() && !none_is_none) std::fill_n(reduced, x.dims.rank, true);
    Dims dims;
    for (int axis = 0; axis < x.dims.rank; ++axis) {
      if (!reduced[axis] || keeps) dims.sizes[dims.rank++] = reduced[axis] ? 1 : x.dims.sizes[axis];
    }
    HALO_WORKSPACE(work, launch, reduce_workspace(op, x.type, x.dims, reduced));
    return reduce(op, x.type, x.data, x.dims, reduced, launch.out(0, dims), work.data(), work.bytes(), launch.stream());
  };
}

template <ReduceOp op>
KernelEntry reduce_row(const char* type) {
  return {.type = type, .supports = [](const NodeFacts& node) { return reduce_supports(op, node.type()); }, .make = make_reduce<op>, .host_inputs = {1}};
}

template <bool logarithm>
Kernel make_softmax(const NodeAttributes& attributes) {
  const int64_t given = attributes.integer("axis", -1);
  return [=](Launch& launch) {
    const Tensor x = launch.in(0);
    const AxisView rows = view_along(x.dims, axis_of(given, x.dims.rank));
    return softmax(logarithm, x.type, x.data, launch.out(0, x.dims), rows.outer, rows.size, rows.inner, launch.stream());
  };
}

Kernel make_cumulative_sum(const NodeAttributes& attributes) {
  const bool is_exclusive = attributes.integer("exclusive", 0) != 0, is_reversed = attributes.integer("reverse", 0) != 0;
  return [=](Launch& launch) {
    const Tensor x = launch.in(0);
    const AxisView rows = view_along(x.dims, axis_of(launch.in(1).integers()[0], x.dims.rank));
    return cumulative_sum(x.type, x.data, launch.out(0, x.dims), rows.outer, rows.size, rows.inner, is_exclusive, is_reversed, launch.stream());
  };
}

/// Of the last axis, the first of equal elements.
Kernel make_arg_max(const NodeAttributes& attributes) {
  const bool keeps = attributes.integer("keepdims", 1) != 0;
  return [=, given = attributes.integer("axis", 0)](Launch& launch) -> Status {
    const Tensor x = launch.in(0);
    const int axis = axis_of(given, x.dims.rank);
    HALO_REQUIRE(axis == x.dims.rank - 1, "the last axis, " << x.dims.rank - 1, axis, "Transpose the tensor first.");
    Dims dims = x.dims;
    dims.sizes[axis] = 1;
    if (!keeps) --dims.rank;
    auto* y = launch.out<int64_t>(0, dims);
    const int64_t rows = dims.count(), columns = x.dims.sizes[axis];
    if (rows == 0) return {};
    HALO_WORKSPACE(work, launch, arg_max_workspace(rows, columns));
    return arg_max(x.type, x.data, y, rows, columns, work.data(), launch.stream());
  };
}

bool finds_largest(const NodeFacts& node) {
  return is_float(node.type()) && node.type() != DType::kDouble && node.attributes.integer("select_last_index", 0) == 0 &&
         node.attributes.integer("axis", 0) != 0;
}

const KernelRows reduce_kernels({
    reduce_row<ReduceOp::kSum>("ReduceSum"),
    reduce_row<ReduceOp::kMean>("ReduceMean"),
    reduce_row<ReduceOp::kMax>("ReduceMax"),
    reduce_row<ReduceOp::kMin>("ReduceMin"),
    reduce_row<ReduceOp::kProd>("ReduceProd"),
    reduce_row<ReduceOp::kSumSquare>("ReduceSumSquare"),
    reduce_row<ReduceOp::kL1>("ReduceL1"),
    reduce_row<ReduceOp::kL2>("ReduceL2"),
    reduce_row<ReduceOp::kLogSumExp>("ReduceLogSumExp"),
    {.type = "ArgMax", .supports = finds_largest, .make = make_arg_max},
    {.type = "Softmax", .supports = is_float_node, .make = make_softmax<false>, .in_place = {0}},
    {.type = "LogSoftmax", .supports = is_float_node, .make = make_softmax<true>, .in_place = {0}},
    {.type = "CumSum",
     .supports = [](const NodeFacts& node) { return is_float(node.type()) || is_index(node.type()); },
     .make = make_cumulative_sum,
     .host_inputs = {1}},
});

}  // namespace

}  // namespace halo::cuda
