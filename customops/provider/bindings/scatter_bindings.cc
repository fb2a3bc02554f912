// ScatterElements, ScatterND.
#include "provider/kernels/scatter.h"

#include "provider/bindings/axes.h"
#include "provider/bindings/kernel.h"

namespace halo::cuda {

namespace {

ScatterReduction reduction_of(const Attributes& attributes) {
  const std::string text = attributes.text("reduction");
  return text == "add"   ? ScatterReduction::kAdd
         : text == "mul" ? ScatterReduction::kMul
         : text == "max" ? ScatterReduction::kMax
         : text == "min" ? ScatterReduction::kMin
                         : ScatterReduction::kNone;
}

Kernel make_scatter_elements(const NodeAttributes& attributes) {
  return [reduction = reduction_of(attributes), axis = attributes.integer("axis", 0)](Launch& launch) {
    const Tensor x = launch.in(0), indices = launch.in(1), updates = launch.in(2);
    return scatter_elements(reduction, x.type, x.data, x.dims, {indices.data, indices.type}, indices.dims, axis_of(axis, x.dims.rank), updates.data,
                            launch.out(0, x.dims), launch.stream());
  };
}

Kernel make_scatter_nd(const NodeAttributes& attributes) {
  return [reduction = reduction_of(attributes)](Launch& launch) -> Status {
    const Tensor x = launch.in(0), indices = launch.in(1), updates = launch.in(2);
    HALO_WORKSPACE(work, launch, scatter_nd_workspace(indices.dims));
    return scatter_nd(reduction, x.type, x.data, x.dims, {indices.data, indices.type}, indices.dims, updates.data, launch.out(0, x.dims), work.data(),
                      work.bytes(), launch.stream());
  };
}

bool scatters(const NodeFacts& node) { return node.in.size() == 3 && scatter_supports(reduction_of(node.attributes), node.in[0]) && is_index(node.in[1]); }

const KernelRows scatter_kernels({
    {.type = "ScatterElements", .supports = scatters, .make = make_scatter_elements, .in_place = {0}},
    {.type = "ScatterND", .supports = scatters, .make = make_scatter_nd, .in_place = {0}},
});

}  // namespace

}  // namespace halo::cuda
