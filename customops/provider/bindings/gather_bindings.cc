// Gather, GatherElements, GatherND.
#include "provider/kernels/gather.h"

#include "provider/bindings/axes.h"
#include "provider/bindings/kernel.h"

namespace halo::cuda {

namespace {

Kernel make_gather(const NodeAttributes& attributes) {
  const int64_t given = attributes.integer("axis", 0);
  return [=](Launch& launch) -> Status {
    const Tensor x = launch.in(0), indices = launch.in(1);
    const int axis = axis_of(given, x.dims.rank);
    Dims dims{.rank = x.dims.rank - 1 + indices.dims.rank};
    HALO_REQUIRE(dims.rank <= kMaxRank, "at most " << kMaxRank << " axes", dims.rank, "Reshape the tensor.");
    int64_t* next = std::copy_n(x.dims.sizes, axis, dims.sizes);
    next = std::copy_n(indices.dims.sizes, indices.dims.rank, next);
    std::copy(x.dims.sizes + axis + 1, x.dims.sizes + x.dims.rank, next);
    const AxisView rows = view_along(x.dims, axis);
    return gather(x.element_size(), x.data, {indices.data, indices.type}, indices.count(), launch.out(0, dims), rows.outer, rows.size, rows.inner,
                  launch.stream());
  };
}

Kernel make_gather_elements(const NodeAttributes& attributes) {
  const int64_t axis = attributes.integer("axis", 0);
  return [=](Launch& launch) {
    const Tensor x = launch.in(0), indices = launch.in(1);
    return gather_elements(x.element_size(), x.data, x.dims, {indices.data, indices.type}, indices.dims, axis_of(axis, x.dims.rank),
                           launch.out(0, indices.dims), launch.stream());
  };
}

Kernel make_gather_nd(const NodeAttributes& attributes) {
  const auto batch_axes = static_cast<int>(attributes.integer("batch_dims", 0));
  return [=](Launch& launch) -> Status {
    const Tensor x = launch.in(0), indices = launch.in(1);
    const auto named = static_cast<int>(indices.dims.sizes[indices.dims.rank - 1]);
    Dims dims{.rank = indices.dims.rank - 1 + x.dims.rank - batch_axes - named};
    HALO_REQUIRE(dims.rank <= kMaxRank, "at most " << kMaxRank << " axes", dims.rank, "Reshape the tensor.");
    int64_t* next = std::copy_n(indices.dims.sizes, indices.dims.rank - 1, dims.sizes);
    std::copy(x.dims.sizes + batch_axes + named, x.dims.sizes + x.dims.rank, next);
    return gather_nd(x.element_size(), x.data, x.dims, {indices.data, indices.type}, indices.dims, batch_axes, launch.out(0, dims), launch.stream());
  };
}

bool gathers(const NodeFacts& node) { return node.in.size() == 2 && is_movable(node.in[0]) && is_index(node.in[1]); }

const KernelRows gather_kernels({
    {.type = "Gather", .supports = gathers, .make = make_gather},
    {.type = "GatherElements", .supports = gathers, .make = make_gather_elements},
    {.type = "GatherND", .supports = gathers, .make = make_gather_nd},
});

}  // namespace

}  // namespace halo::cuda
