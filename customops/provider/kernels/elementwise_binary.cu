#include "provider/kernels/broadcast.cuh"
#include "provider/kernels/elementwise.h"

namespace halo::cuda {

/// Of elementwise_arithmetic.cu and elementwise_extrema.cu.
template <BinaryOp op>
cudaError_t arithmetic(DType type, const void* a, const Dims& a_dims, const void* b, const Dims& b_dims, void* y, const Dims& y_dims, cudaStream_t stream);

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
  static constexpr int kOperands = 2;
  /// 2, which squares come as, exactly a product.
  template <class T, class E>
  __device__ T operator()(T base, E exponent) const {
    const V a = static_cast<V>(widened(base)), b = static_cast<V>(widened(exponent));
    return narrowed<T>(b == 2 ? a * a : pow(a, b));
  }
};

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
cudaError_t compare(DType type, const Operands& o) {
  const auto run = [&]<class T>() {
    return broadcast(Comparison<op>(), static_cast<const T*>(o.a), o.a_dims, static_cast<const T*>(o.b), o.b_dims, static_cast<bool*>(o.y), o.y_dims, o.stream);
  };
  return type == DType::kBool ? run.template operator()<bool>() : dispatch_number(type, run);
}

template <BinaryOp op>
cudaError_t combine(const Operands& o) {
  return broadcast(Logic<op>(), static_cast<const bool*>(o.a), o.a_dims, static_cast<const bool*>(o.b), o.b_dims, static_cast<bool*>(o.y), o.y_dims, o.stream);
}

bool is_number(DType type) {
  return type == DType::kFloat || type == DType::kBFloat16 || type == DType::kFloat16 || type == DType::kDouble || type == DType::kInt32 ||
         type == DType::kInt64;
}

}  // namespace

bool binary_supports(BinaryOp op, DType type) {
  switch (op) {
    case BinaryOp::kAnd:
    case BinaryOp::kOr:
    case BinaryOp::kXor:
      return type == DType::kBool;
    case BinaryOp::kEqual:
    case BinaryOp::kLess:
    case BinaryOp::kGreater:
    case BinaryOp::kLessOrEqual:
    case BinaryOp::kGreaterOrEqual:
      return is_number(type) || type == DType::kBool;
    case BinaryOp::kPow:
      return is_number(type) && type != DType::kInt32 && type != DType::kInt64;
    default:
      return is_number(type);
  }
}

cudaError_t binary(BinaryOp op, DType type, const void* a, const Dims& a_dims, const void* b, const Dims& b_dims, void* y, const Dims& y_dims,
                   cudaStream_t stream) {
  if (!binary_supports(op, type)) return cudaErrorInvalidValue;
  const Operands o{a, a_dims, b, b_dims, y, y_dims, stream};
  switch (op) {
    case BinaryOp::kAdd:
      return arithmetic<BinaryOp::kAdd>(type, a, a_dims, b, b_dims, y, y_dims, stream);
    case BinaryOp::kSub:
      return arithmetic<BinaryOp::kSub>(type, a, a_dims, b, b_dims, y, y_dims, stream);
    case BinaryOp::kMul:
      return arithmetic<BinaryOp::kMul>(type, a, a_dims, b, b_dims, y, y_dims, stream);
    case BinaryOp::kDiv:
      return arithmetic<BinaryOp::kDiv>(type, a, a_dims, b, b_dims, y, y_dims, stream);
    case BinaryOp::kMin:
      return arithmetic<BinaryOp::kMin>(type, a, a_dims, b, b_dims, y, y_dims, stream);
    case BinaryOp::kMax:
      return arithmetic<BinaryOp::kMax>(type, a, a_dims, b, b_dims, y, y_dims, stream);
    case BinaryOp::kMod:
      return arithmetic<BinaryOp::kMod>(type, a, a_dims, b, b_dims, y, y_dims, stream);
    case BinaryOp::kFMod:
      return arithmetic<BinaryOp::kFMod>(type, a, a_dims, b, b_dims, y, y_dims, stream);
    case BinaryOp::kPow:
      return power(type, type, a, a_dims, b, b_dims, y, y_dims, stream);
    case BinaryOp::kAnd:
      return combine<BinaryOp::kAnd>(o);
    case BinaryOp::kOr:
      return combine<BinaryOp::kOr>(o);
    case BinaryOp::kXor:
      return combine<BinaryOp::kXor>(o);
    case BinaryOp::kEqual:
      return compare<BinaryOp::kEqual>(type, o);
    case BinaryOp::kLess:
      return compare<BinaryOp::kLess>(type, o);
    case BinaryOp::kGreater:
      return compare<BinaryOp::kGreater>(type, o);
    case BinaryOp::kLessOrEqual:
      return compare<BinaryOp::kLessOrEqual>(type, o);
    case BinaryOp::kGreaterOrEqual:
      return compare<BinaryOp::kGreaterOrEqual>(type, o);
  }
  return cudaErrorInvalidValue;
}

cudaError_t power(DType base_type, DType exponent_type, const void* base, const Dims& base_dims, const void* exponent, const Dims& exponent_dims, void* y,
                  const Dims& y_dims, cudaStream_t stream) {
  return dispatch_real(base_type, [&]<class T>() {
    return dispatch_number(exponent_type, [&]<class E>() {
      return broadcast(Power<Real<T>>(), static_cast<const T*>(base), base_dims, static_cast<const E*>(exponent), exponent_dims, static_cast<T*>(y), y_dims,
                       stream);
    });
  });
}

cudaError_t variadic(BinaryOp op, DType type, const void* const* inputs, const Dims* input_dims, int64_t inputs_count, void* y, const Dims& y_dims,
                     cudaStream_t stream) {
  if (inputs_count < 1) return cudaErrorInvalidValue;
  if (inputs_count == 1) return binary(BinaryOp::kMax, type, inputs[0], input_dims[0], inputs[0], input_dims[0], y, y_dims, stream);  // x, as max(x, x)
  HALO_CUDA_RETURN_IF_ERROR(binary(op, type, inputs[0], input_dims[0], inputs[1], input_dims[1], y, y_dims, stream));
  for (int64_t i = 2; i < inputs_count; ++i) HALO_CUDA_RETURN_IF_ERROR(binary(op, type, y, y_dims, inputs[i], input_dims[i], y, y_dims, stream));
  return cudaSuccess;
}

}  // namespace halo::cuda
