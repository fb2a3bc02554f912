#include "provider/kernels/broadcast.cuh"
#include "provider/kernels/elementwise.h"
#include "provider/kernels/movement.h"

namespace halo::cuda {

/// Of elementwise_arithmetic.cu and elementwise_extrema.cu.
template <BinaryOp op>
Status arithmetic(DType type, const void* a, const Dims& a_dims, const void* b, const Dims& b_dims, void* y, const Dims& y_dims, cudaStream_t stream);

namespace {

template <BinaryOp op>
struct Comparison {
  static constexpr int kOperands = 2;
  template <class T>
  __device__ bool operator()(T left, T right) const {
    const auto a = widened(left), b = widened(right);
    if constexpr (op == BinaryOp::kEqual) return a == b;
    if constexpr (op == BinaryOp::kLess) return a < b;
    if constexpr (op == BinaryOp::kGreater) return a > b;
    if constexpr (op == BinaryOp::kLessOrEqual) return a <= b;
    return a >= b;
  }
};

template <BinaryOp op>
struct Logic {
  static constexpr int kOperands = 2;
  __device__ bool operator()(bool a, bool b) const {
    if constexpr (op == BinaryOp::kAnd) return a && b;
    if constexpr (op == BinaryOp::kOr) return a || b;
    return a != b;
  }
};

template <class V>
struct Power {
  [[maybe_unused]] static constexpr int kOperands = 2;
  /// 2, which squares come as, exactly a product.
  template <class T, class E>
  __device__ T operator()(T base, E exponent) const {
    const V a = static_cast<V>(widened(base)), b = static_cast<V>(widened(exponent));
    return narrowed<T>(b == 2 ? a * a : pow(a, b));
  }
};

using Flags = TypeList<bool>;
using Comparable = TypeList<float, BFloat16, Float16, double, int32_t, int64_t, bool>;

struct Operands {
  const void* a;
  const Dims& a_dims;
  const void* b;
  const Dims& b_dims;
  void* y;
  const Dims& y_dims;
  cudaStream_t stream;
};

template <BinaryOp op>
Status compare(DType type, const Operands& o) {
  return dispatch(Comparable(), type, [&]<class T>() {
    return broadcast(Comparison<op>(), static_cast<const T*>(o.a), o.a_dims, static_cast<const T*>(o.b), o.b_dims, static_cast<bool*>(o.y), o.y_dims, o.stream);
  });
}

template <BinaryOp op>
Status combine(DType, const Operands& o) {
  return broadcast(Logic<op>(), static_cast<const bool*>(o.a), o.a_dims, static_cast<const bool*>(o.b), o.b_dims, static_cast<bool*>(o.y), o.y_dims, o.stream);
}

template <BinaryOp op>
Status calculate(DType type, const Operands& o) {
  return arithmetic<op>(type, o.a, o.a_dims, o.b, o.b_dims, o.y, o.y_dims, o.stream);
}

Status to_power(DType type, const Operands& o) { return power(type, type, o.a, o.a_dims, o.b, o.b_dims, o.y, o.y_dims, o.stream); }

/// Which types an operator takes, and what runs it.
struct Row {
  BinaryOp op;
  bool (*takes)(DType type);
  Status (*run)(DType type, const Operands& operands);
};

constexpr Row kRows[] = {
    {BinaryOp::kAdd, NumberTypes::has, calculate<BinaryOp::kAdd>},
    {BinaryOp::kSub, NumberTypes::has, calculate<BinaryOp::kSub>},
    {BinaryOp::kMul, NumberTypes::has, calculate<BinaryOp::kMul>},
    {BinaryOp::kDiv, NumberTypes::has, calculate<BinaryOp::kDiv>},
    {BinaryOp::kMin, NumberTypes::has, calculate<BinaryOp::kMin>},
    {BinaryOp::kMax, NumberTypes::has, calculate<BinaryOp::kMax>},
    {BinaryOp::kMod, NumberTypes::has, calculate<BinaryOp::kMod>},
    {BinaryOp::kFMod, NumberTypes::has, calculate<BinaryOp::kFMod>},
    {BinaryOp::kPow, RealTypes::has, to_power},
    {BinaryOp::kAnd, Flags::has, combine<BinaryOp::kAnd>},
    {BinaryOp::kOr, Flags::has, combine<BinaryOp::kOr>},
    {BinaryOp::kXor, Flags::has, combine<BinaryOp::kXor>},
    {BinaryOp::kEqual, Comparable::has, compare<BinaryOp::kEqual>},
    {BinaryOp::kLess, Comparable::has, compare<BinaryOp::kLess>},
    {BinaryOp::kGreater, Comparable::has, compare<BinaryOp::kGreater>},
    {BinaryOp::kLessOrEqual, Comparable::has, compare<BinaryOp::kLessOrEqual>},
    {BinaryOp::kGreaterOrEqual, Comparable::has, compare<BinaryOp::kGreaterOrEqual>},
};

const Row* row_of(BinaryOp op) {
  for (const Row& row : kRows) {
    if (row.op == op) return &row;
  }
  return nullptr;
}

}  // namespace

bool binary_supports(BinaryOp op, DType type) {
  const Row* row = row_of(op);
  return row != nullptr && row->takes(type);
}

Status binary(BinaryOp op, DType type, const void* a, const Dims& a_dims, const void* b, const Dims& b_dims, void* y, const Dims& y_dims, cudaStream_t stream) {
  HALO_REQUIRE(binary_supports(op, type), "a type that this operator takes", type, "Cast the operands.");
  return row_of(op)->run(type, {a, a_dims, b, b_dims, y, y_dims, stream});
}

Status power(DType base_type, DType exponent_type, const void* base, const Dims& base_dims, const void* exponent, const Dims& exponent_dims, void* y,
             const Dims& y_dims, cudaStream_t stream) {
  return dispatch_real(base_type, [&]<class T>() {
    return dispatch_number(exponent_type, [&]<class E>() {
      return broadcast(Power<Real<T>>(), static_cast<const T*>(base), base_dims, static_cast<const E*>(exponent), exponent_dims, static_cast<T*>(y), y_dims,
                       stream);
    });
  });
}

Status variadic(BinaryOp op, DType type, const void* const* inputs, const Dims* input_dims, int64_t inputs_count, void* y, const Dims& y_dims,
                cudaStream_t stream) {
  HALO_REQUIRE(inputs_count >= 1, "one input or more", inputs_count, "Check the graph.");
  if (inputs_count == 1) return y == inputs[0] ? Status() : expand(size_of(type), inputs[0], input_dims[0], y, y_dims, stream);
  HALO_RETURN_IF_ERROR(binary(op, type, inputs[0], input_dims[0], inputs[1], input_dims[1], y, y_dims, stream));
  for (int64_t i = 2; i < inputs_count; ++i) HALO_RETURN_IF_ERROR(binary(op, type, y, y_dims, inputs[i], input_dims[i], y, y_dims, stream));
  return {};
}

}  // namespace halo::cuda
