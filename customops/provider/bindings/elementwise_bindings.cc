// Neg ... Where, Cast: elements by themselves, with broadcasting.
#include "provider/kernels/elementwise.h"

#include "provider/bindings/axes.h"
#include "provider/bindings/kernel.h"

namespace halo::cuda {

namespace {

template <UnaryOp op>
KernelEntry unary_row(const char* type) {
  constexpr bool is_test = op == UnaryOp::kIsNaN || op == UnaryOp::kIsInf;
  return {.type = type,
          .supports =
              [](const NodeFacts& node) {
                const bool both_signs =
                    op != UnaryOp::kIsInf || (node.attributes.integer("detect_negative", 1) == 1 && node.attributes.integer("detect_positive", 1) == 1);
                return both_signs && unary_supports(op, node.type());
              },
          .make = [](const NodeAttributes&) -> Kernel {
            return [](Launch& launch) {
              const Tensor x = launch.in(0);
              return unary(op, x.type, x.data, launch.out(0, x.dims), x.count(), launch.stream());
            };
          },
          .in_place = is_test ? std::vector<InPlace>{} : std::vector<InPlace>{0}};
}

template <BinaryOp op>
Status run_binary(Launch& launch) {
  const Tensor a = launch.in(0), b = launch.in(1);
  Dims dims;
  HALO_RETURN_IF_ERROR(broadcast(a.dims, b.dims, &dims));
  return binary(op, a.type, a.data, a.dims, b.data, b.dims, launch.out(0, dims), dims, launch.stream());
}

template <BinaryOp op>
KernelEntry binary_row(const char* type) {
  constexpr bool is_comparison =
      op == BinaryOp::kEqual || op == BinaryOp::kLess || op == BinaryOp::kGreater || op == BinaryOp::kLessOrEqual || op == BinaryOp::kGreaterOrEqual;
  return {.type = type,
          .supports = [](const NodeFacts& node) { return binary_supports(op, node.type()); },
          .make = [](const NodeAttributes&) -> Kernel { return run_binary<op>; },
          .in_place = is_comparison ? std::vector<InPlace>{} : std::vector<InPlace>{0, 1}};
}

template <BinaryOp op>
KernelEntry variadic_row(const char* type) {
  return {.type = type,
          .supports = [](const NodeFacts& node) { return binary_supports(op, node.type()); },
          .make = [](const NodeAttributes&) -> Kernel {
            return [](Launch& launch) -> Status {
              const int count = launch.inputs_count();
              std::vector<const void*> data;
              std::vector<Dims> sizes;
              Dims dims = launch.in(0).dims;
              for (int i = 0; i < count; ++i) {
                const Tensor x = launch.in(i);
                data.push_back(x.data);
                sizes.push_back(x.dims);
                HALO_RETURN_IF_ERROR(broadcast(dims, x.dims, &dims));
              }
              return variadic(op, launch.in(0).type, data.data(), sizes.data(), count, launch.out(0, dims), dims, launch.stream());
            };
          }};
}

Kernel make_mod(const NodeAttributes& attributes) { return attributes.integer("fmod", 0) != 0 ? run_binary<BinaryOp::kFMod> : run_binary<BinaryOp::kMod>; }

Status run_power(Launch& launch) {
  const Tensor base = launch.in(0), exponent = launch.in(1);
  Dims dims;
  HALO_RETURN_IF_ERROR(broadcast(base.dims, exponent.dims, &dims));
  return power(base.type, exponent.type, base.data, base.dims, exponent.data, exponent.dims, launch.out(0, dims), dims, launch.stream());
}

Status run_clip(Launch& launch) {
  const Tensor x = launch.in(0);
  return clip(x.type, x.data, launch.in(1).data, launch.in(2).data, launch.out(0, x.dims), x.count(), launch.stream());
}

Status run_where(Launch& launch) {
  const Tensor condition = launch.in(0), a = launch.in(1), b = launch.in(2);
  Dims dims;
  HALO_RETURN_IF_ERROR(broadcast(a.dims, b.dims, &dims));
  HALO_RETURN_IF_ERROR(broadcast(dims, condition.dims, &dims));
  return where(a.element_size(), condition.as<bool>(), condition.dims, a.data, a.dims, b.data, b.dims, launch.out(0, dims), dims, launch.stream());
}

Kernel make_cast(const NodeAttributes& attributes) {
  const auto to = static_cast<DType>(attributes.integer("to", 0));
  const bool saturate = attributes.integer("saturate", 1) != 0;
  return [=](Launch& launch) {
    const Tensor x = launch.in(0);
    return cast(x.type, to, x.data, launch.out(0, x.dims), x.count(), saturate, launch.stream());
  };
}

Kernel make_cast_like(const NodeAttributes& attributes) {
  const bool saturate = attributes.integer("saturate", 1) != 0;
  return [=](Launch& launch) {
    const Tensor x = launch.in(0);
    return cast(x.type, launch.in(1).type, x.data, launch.out(0, x.dims), x.count(), saturate, launch.stream());
  };
}

bool cast_is_supported(const NodeFacts& node) { return !node.out.empty() && cast_supports(node.type(), node.out[0]); }

const KernelRows elementwise_kernels({
    unary_row<UnaryOp::kNeg>("Neg"),
    unary_row<UnaryOp::kAbs>("Abs"),
    unary_row<UnaryOp::kSign>("Sign"),
    unary_row<UnaryOp::kSqrt>("Sqrt"),
    unary_row<UnaryOp::kReciprocal>("Reciprocal"),
    unary_row<UnaryOp::kExp>("Exp"),
    unary_row<UnaryOp::kLog>("Log"),
    unary_row<UnaryOp::kSigmoid>("Sigmoid"),
    unary_row<UnaryOp::kTanh>("Tanh"),
    unary_row<UnaryOp::kErf>("Erf"),
    unary_row<UnaryOp::kRelu>("Relu"),
    unary_row<UnaryOp::kSin>("Sin"),
    unary_row<UnaryOp::kCos>("Cos"),
    unary_row<UnaryOp::kFloor>("Floor"),
    unary_row<UnaryOp::kCeil>("Ceil"),
    unary_row<UnaryOp::kRound>("Round"),
    unary_row<UnaryOp::kNot>("Not"),
    unary_row<UnaryOp::kIsNaN>("IsNaN"),
    unary_row<UnaryOp::kIsInf>("IsInf"),
    binary_row<BinaryOp::kAdd>("Add"),
    binary_row<BinaryOp::kSub>("Sub"),
    binary_row<BinaryOp::kMul>("Mul"),
    binary_row<BinaryOp::kDiv>("Div"),
    binary_row<BinaryOp::kAnd>("And"),
    binary_row<BinaryOp::kOr>("Or"),
    binary_row<BinaryOp::kXor>("Xor"),
    binary_row<BinaryOp::kEqual>("Equal"),
    binary_row<BinaryOp::kLess>("Less"),
    binary_row<BinaryOp::kGreater>("Greater"),
    binary_row<BinaryOp::kLessOrEqual>("LessOrEqual"),
    binary_row<BinaryOp::kGreaterOrEqual>("GreaterOrEqual"),
    variadic_row<BinaryOp::kAdd>("Sum"),
    variadic_row<BinaryOp::kMin>("Min"),
    variadic_row<BinaryOp::kMax>("Max"),
    {.type = "Mod", .supports = [](const NodeFacts& node) { return binary_supports(BinaryOp::kMod, node.type()); }, .make = make_mod, .in_place = {0, 1}},
    {.type = "Pow",
     .supports = [](const NodeFacts& node) { return is_float(node.in[0]) && (is_float(node.in[1]) || is_index(node.in[1])); },
     .make = [](const NodeAttributes&) -> Kernel { return run_power; },
     .in_place = {0}},
    {.type = "Clip",
     .supports = [](const NodeFacts& node) { return is_float(node.type()) || is_index(node.type()); },
     .make = [](const NodeAttributes&) -> Kernel { return run_clip; },
     .in_place = {0}},
    {.type = "Where",
     .supports = [](const NodeFacts& node) { return node.in.size() == 3 && is_movable(node.in[1]); },
     .make = [](const NodeAttributes&) -> Kernel { return run_where; }},
    {.type = "Cast", .supports = cast_is_supported, .make = make_cast},
    {.type = "CastLike", .supports = cast_is_supported, .make = make_cast_like},
});

}  // namespace

}  // namespace halo::cuda
