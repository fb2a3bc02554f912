// Transpose, Expand, Slice, Concat, Split, Tile, Pad, Trilu, ConstantOfShape, Range, OneHot: elements moved or made.
#include "provider/kernels/movement.h"

#include <cmath>

#include "provider/bindings/axes.h"
#include "provider/bindings/kernel.h"

namespace halo::cuda {

namespace {

Kernel make_transpose(const NodeAttributes& attributes) {
  return [given = attributes.integers("perm")](Launch& launch) {
    const Tensor x = launch.in(0);
    Dims dims{.rank = x.dims.rank};
    PerAxis permutation;
    for (int axis = 0; axis < dims.rank; ++axis) {
      permutation.values[axis] = given.empty() ? dims.rank - 1 - axis : given[static_cast<size_t>(axis)];
      dims.sizes[axis] = x.dims.sizes[permutation.values[axis]];
    }
    return transpose(x.element_size(), x.data, x.dims, permutation, launch.out(0, dims), launch.stream());
  };
}

Status run_expand(Launch& launch) {
  const Tensor x = launch.in(0);
  Dims dims;
  HALO_RETURN_IF_ERROR(broadcast(x.dims, dims_of(launch.in(1).integers()), &dims));
  return expand(x.element_size(), x.data, x.dims, launch.out(0, dims), dims, launch.stream());
}

Status run_slice(Launch& launch) {
  const Tensor x = launch.in(0);
  const auto starts = launch.in(1).integers(), ends = launch.in(2).integers();
  const Tensor axes_given = launch.in(3), steps_given = launch.in(4);
  const auto axes = axes_given.is_present() ? axes_given.integers() : std::vector<int64_t>{};
  const auto steps = steps_given.is_present() ? steps_given.integers() : std::vector<int64_t>(starts.size(), 1);
  Dims dims = x.dims;
  PerAxis first, step;
  std::fill_n(step.values, kMaxRank, 1);
  for (size_t i = 0; i < starts.size(); ++i) {
    const int axis = axes.empty() ? static_cast<int>(i) : axis_of(axes[i], dims.rank);
    const int64_t size = x.dims.sizes[axis], by = steps[i];
    HALO_REQUIRE(by != 0, "steps that are not 0", by, "Correct the slice.");
    const auto from_front = [&](int64_t at) { return at < 0 ? at + size : at; };
    const int64_t start = by > 0 ? std::clamp<int64_t>(from_front(starts[i]), 0, size) : std::clamp<int64_t>(from_front(starts[i]), -1, size - 1);
    // An end far below 0 stands for before the first element, which only a step back can reach.
    const int64_t end = by > 0 ? std::clamp<int64_t>(from_front(ends[i]), 0, size) : std::clamp<int64_t>(from_front(ends[i]), -1, size - 1);
    first.values[axis] = start;
    step.values[axis] = by;
    dims.sizes[axis] = std::max<int64_t>(0, by > 0 ? (end - start + by - 1) / by : (start - end - by - 1) / -by);
  }
  return slice(x.element_size(), x.data, x.dims, first, step, launch.out(0, dims), dims, launch.stream());
}

Kernel make_concat(const NodeAttributes& attributes) {
  const int64_t given = attributes.integer("axis", 0);
  return [=](Launch& launch) {
    Dims dims = launch.in(0).dims;
    const int axis = axis_of(given, dims.rank);
    std::vector<const void*> inputs;
    std::vector<int64_t> sizes;
    dims.sizes[axis] = 0;
    for (int i = 0; i < launch.inputs_count(); ++i) {
      const Tensor x = launch.in(i);
      inputs.push_back(x.data);
      sizes.push_back(x.dims.sizes[axis]);
      dims.sizes[axis] += sizes.back();
    }
    return concat(launch.in(0).element_size(), inputs.data(), sizes.data(), static_cast<int64_t>(inputs.size()), axis, launch.out(0, dims), dims,
                  launch.stream());
  };
}

Kernel make_split(const NodeAttributes& attributes) {
  return [given = attributes.integer("axis", 0), fixed = attributes.integers("split")](Launch& launch) -> Status {
    const Tensor x = launch.in(0);
    const int axis = axis_of(given, x.dims.rank);
    const int64_t size = x.dims.sizes[axis], count = launch.outputs_count();
    auto sizes = axes_of(launch, 1, fixed);
    if (sizes.empty()) {  // equal parts, of which the last may be smaller
      const int64_t part = (size + count - 1) / count;
      for (int64_t i = 0; i < count; ++i) sizes.push_back(std::min(part, size - i * part));
    }
    HALO_REQUIRE(static_cast<int64_t>(sizes.size()) == count, count << " sizes, one an output", sizes.size(), "Correct the split.");
    std::vector<void*> outputs;
    for (int i = 0; i < count; ++i) {
      Dims dims = x.dims;
      dims.sizes[axis] = sizes[static_cast<size_t>(i)];
      outputs.push_back(launch.out(i, dims));
    }
    return split(x.element_size(), x.data, x.dims, axis, outputs.data(), sizes.data(), count, launch.stream());
  };
}

Status run_tile(Launch& launch) {
  const Tensor x = launch.in(0);
  const auto repeats = launch.in(1).integers();
  Dims dims = x.dims;
  for (int axis = 0; axis < dims.rank; ++axis) dims.sizes[axis] *= repeats[static_cast<size_t>(axis)];
  return tile(x.element_size(), x.data, x.dims, launch.out(0, dims), dims, launch.stream());
}

Kernel make_pad(const NodeAttributes& attributes) {
  const std::string text = attributes.text("mode");
  const PadMode mode = text == "edge" ? PadMode::kEdge : text == "reflect" ? PadMode::kReflect : PadMode::kConstant;
  return [=](Launch& launch) -> Status {
    const Tensor x = launch.in(0);
    const auto pads = launch.in(1).integers();
    const Tensor axes_given = launch.in(3);
    std::vector<int64_t> axes = axes_given.is_present() ? axes_given.integers() : std::vector<int64_t>{};
    for (int axis = 0; !axes_given.is_present() && axis < x.dims.rank; ++axis) axes.push_back(axis);
    HALO_REQUIRE(pads.size() == 2 * axes.size(), 2 * axes.size() << " pads", pads.size(), "Correct the pads.");
    Dims dims = x.dims;
    PerAxis begins;
    for (size_t i = 0; i < axes.size(); ++i) {
      const int axis = axis_of(axes[i], dims.rank);
      begins.values[axis] = pads[i];
      dims.sizes[axis] += pads[i] + pads[i + axes.size()];
    }
    return pad(x.element_size(), mode, x.data, x.dims, begins, launch.in(2).data, launch.out(0, dims), dims, launch.stream());
  };
}

Kernel make_trilu(const NodeAttributes& attributes) {
  const bool is_upper = attributes.integer("upper", 1) != 0;
  return [=](Launch& launch) -> Status {
    const Tensor x = launch.in(0), k = launch.in(1);
    const int rank = x.dims.rank;
    HALO_REQUIRE(rank >= 2, "matrices", rank << " axes", "Reshape the tensor.");
    return triangle(x.element_size(), x.data, launch.out(0, x.dims), x.dims.count(0, rank - 2), x.dims.sizes[rank - 2], x.dims.sizes[rank - 1],
                    k.is_present() ? k.integers()[0] : 0, is_upper, launch.stream());
  };
}

Kernel make_constant_of_shape(const NodeAttributes& attributes) {
  SplatAttribute value = attributes.splat("value");
  if (value.type == DType::kUndefined) value = {.type = DType::kFloat, .bits = 0};
  return [=](Launch& launch) {
    const Dims dims = dims_of(launch.in(0).integers());
    return fill(size_of(value.type), value.bits, launch.out(0, dims), dims.count(), launch.stream());
  };
}

template <class T>
int64_t steps(const Tensor& start, const Tensor& limit, const Tensor& delta) {
  return std::max<int64_t>(
      0, static_cast<int64_t>(std::ceil((static_cast<double>(*limit.as<T>()) - static_cast<double>(*start.as<T>())) / static_cast<double>(*delta.as<T>()))));
}

Status run_range(Launch& launch) {
  const Tensor start = launch.in(0), limit = launch.in(1), delta = launch.in(2);
  const int64_t count = start.type == DType::kFloat    ? steps<float>(start, limit, delta)
                        : start.type == DType::kDouble ? steps<double>(start, limit, delta)
                        : start.type == DType::kInt32  ? steps<int32_t>(start, limit, delta)
                                                       : steps<int64_t>(start, limit, delta);
  return range(start.type, start.data, delta.data, launch.out(0, {.rank = 1, .sizes = {count}}), count, launch.stream());
}

Kernel make_one_hot(const NodeAttributes& attributes) {
  const int64_t given = attributes.integer("axis", -1);
  return [=](Launch& launch) {
    const Tensor indices = launch.in(0), values = launch.in(2);
    const int64_t depth = launch.in(1).integers()[0];
    Dims dims{.rank = indices.dims.rank + 1};
    const int axis = axis_of(given, dims.rank);
    for (int to = 0, from = 0; to < dims.rank; ++to) dims.sizes[to] = to == axis ? depth : indices.dims.sizes[from++];
    return one_hot(values.element_size(), {indices.data, indices.type}, values.data, launch.out(0, dims), dims.count(0, axis), depth,
                   dims.count(axis + 1, dims.rank), launch.stream());
  };
}

bool moves(const NodeFacts& node) { return is_movable(node.type()); }

template <Status (*run)(Launch&)>
Kernel make_plain(const NodeAttributes&) {
  return run;
}

const KernelRows movement_kernels({
    {.type = "Transpose", .supports = moves, .make = make_transpose},
    {.type = "Expand", .supports = moves, .make = make_plain<run_expand>, .host_inputs = {1}},
    {.type = "Slice",
     .supports = [](const NodeFacts& node) { return is_movable(node.type()) && node.in.size() >= 3; },  // inputs since opset 10
     .make = make_plain<run_slice>,
     .host_inputs = {1, 2, 3, 4}},
    {.type = "Concat", .supports = moves, .make = make_concat},
    {.type = "Split", .supports = moves, .make = make_split, .host_inputs = {1}},
    {.type = "Tile", .supports = moves, .make = make_plain<run_tile>, .host_inputs = {1}},
    {.type = "Pad",
     .supports =
         [](const NodeFacts& node) {
           const std::string mode = node.attributes.text("mode");
           return is_movable(node.type()) && node.in.size() >= 2 && (mode.empty() || mode == "constant" || mode == "edge" || mode == "reflect");
         },
     .make = make_pad,
     .host_inputs = {1, 3}},
    {.type = "Trilu", .supports = moves, .make = make_trilu, .host_inputs = {1}},
    {.type = "ConstantOfShape", .supports = [](const NodeFacts&) { return true; }, .make = make_constant_of_shape, .host_inputs = {0}},
    {.type = "Range",
     .supports = [](const NodeFacts& node) { return node.type() == DType::kFloat || node.type() == DType::kDouble || is_index(node.type()); },
     .make = make_plain<run_range>,
     .host_inputs = {0, 1, 2}},
    {.type = "OneHot",
     .supports = [](const NodeFacts& node) { return node.in.size() == 3 && is_index(node.in[0]) && is_index(node.in[1]) && is_movable(node.in[2]); },
     .make = make_one_hot,
     .host_inputs = {1}},
});

}  // namespace

}  // namespace halo::cuda
