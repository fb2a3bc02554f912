// Reshape, Squeeze, Unsqueeze, Flatten, Identity: the same elements under other sizes. Shape and Size, which need no elements at all.
#include "provider/bindings/axes.h"
#include "provider/bindings/kernel.h"

namespace halo::cuda {

namespace {

/// Copies where ONNX Runtime gave the output memory of its own, as it does for a graph's outputs.
Status view(Launch& launch, const Dims& dims) {
  const Tensor x = launch.in(0);
  void* y = launch.out(0, dims);
  if (y == x.data || x.count() == 0) return {};
  return HALO_CUDA_STATUS(cudaMemcpyAsync(y, x.data, static_cast<size_t>(x.count() * x.element_size()), cudaMemcpyDeviceToDevice, launch.stream()));
}

Kernel make_reshape(const NodeAttributes& attributes) {
  const bool zero_is_zero = attributes.integer("allowzero", 0) != 0;
  return [=](Launch& launch) -> Status {
    const Dims& x = launch.in(0).dims;
    Dims dims = dims_of(launch.in(1).integers());
    int open = -1;
    for (int axis = 0; axis < dims.rank; ++axis) {
      if (dims.sizes[axis] == 0 && !zero_is_zero) dims.sizes[axis] = x.sizes[axis];
      if (dims.sizes[axis] == -1) {
        open = axis;
        dims.sizes[axis] = 1;
      }
    }
    if (open >= 0 && dims.count() > 0) dims.sizes[open] = x.count() / dims.count();
    HALO_REQUIRE(dims.count() == x.count(), "a shape for " << x.count() << " elements", "one for " << dims.count(), "Check the shape.");
    return view(launch, dims);
  };
}

Kernel make_flatten(const NodeAttributes& attributes) {
  const int64_t axis = attributes.integer("axis", 1);
  return [=](Launch& launch) {
    const Dims& x = launch.in(0).dims;
    const int at = axis_of(axis, x.rank);
    return view(launch, {.rank = 2, .sizes = {x.count(0, at), x.count(at, x.rank)}});
  };
}

Kernel make_squeeze(const NodeAttributes& attributes) {
  return [given = attributes.integers("axes")](Launch& launch) {
    const Dims& x = launch.in(0).dims;
    const auto axes = axes_of(launch, 1, given);
    Dims dims;
    for (int axis = 0; axis < x.rank; ++axis) {
      const bool is_named = std::any_of(axes.begin(), axes.end(), [&](int64_t a) { return axis_of(a, x.rank) == axis; });
      if (axes.empty() ? x.sizes[axis] != 1 : !is_named) dims.sizes[dims.rank++] = x.sizes[axis];
    }
    return view(launch, dims);
  };
}

Kernel make_unsqueeze(const NodeAttributes& attributes) {
  return [given = attributes.integers("axes")](Launch& launch) -> Status {
    const Dims& x = launch.in(0).dims;
    const auto axes = axes_of(launch, 1, given);
    Dims dims{.rank = x.rank + static_cast<int>(axes.size())};
    HALO_REQUIRE(dims.rank <= kMaxRank, "at most " << kMaxRank << " axes", dims.rank, "Reshape the tensor.");
    for (const int64_t axis : axes) dims.sizes[axis_of(axis, dims.rank)] = -1;
    for (int axis = 0, from = 0; axis < dims.rank; ++axis) dims.sizes[axis] = dims.sizes[axis] == -1 ? 1 : x.sizes[from++];
    return view(launch, dims);
  };
}

Kernel make_shape(const NodeAttributes& attributes) {
  const int64_t start = attributes.integer("start", 0), end = attributes.integer("end", kMaxRank);
  return [=](Launch& launch) -> Status {
    const Dims& x = launch.in(0).dims;
    const auto clamp = [&](int64_t at) { return std::clamp<int64_t>(at < 0 ? at + x.rank : at, 0, x.rank); };
    const int64_t first = clamp(start), count = std::max<int64_t>(0, clamp(end) - first);
    std::copy_n(x.sizes + first, count, launch.out<int64_t>(0, {.rank = 1, .sizes = {count}}));
    return {};
  };
}

bool is_movable_node(const NodeFacts& node) { return is_movable(node.type()); }

const KernelRows view_kernels({
    {.type = "Reshape", .supports = is_movable_node, .make = make_reshape, .host_inputs = {1}, .is_view = true},
    {.type = "Squeeze", .supports = is_movable_node, .make = make_squeeze, .host_inputs = {1}, .is_view = true},
    {.type = "Unsqueeze", .supports = is_movable_node, .make = make_unsqueeze, .host_inputs = {1}, .is_view = true},
    {.type = "Flatten", .supports = is_movable_node, .make = make_flatten, .is_view = true},
    {.type = "Identity",
     .supports = is_movable_node,
     .make = [](const NodeAttributes&) -> Kernel { return [](Launch& launch) { return view(launch, launch.in(0).dims); }; },
     .is_view = true},
    {.type = "Shape", .supports = [](const NodeFacts&) { return true; }, .make = make_shape, .host_outputs = {0}},
    {.type = "Size",
     .supports = [](const NodeFacts&) { return true; },
     .make = [](const NodeAttributes&) -> Kernel {
       return [](Launch& launch) -> Status {
         *launch.out<int64_t>(0, {}) = launch.in(0).count();
         return {};
       };
     },
     .host_outputs = {0}},
});

}  // namespace

}  // namespace halo::cuda
