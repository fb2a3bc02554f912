#include "provider/kernels/broadcast.cuh"
#include "provider/kernels/elementwise.h"

namespace halo::cuda {

namespace {

template <UnaryOp op>
struct Unary {
  static constexpr int kOperands = 1;

  template <class V>
  static __device__ V compute(V x) {
    if constexpr (op == UnaryOp::kNeg) return -x;
    if constexpr (op == UnaryOp::kAbs) return x < 0 ? -x : (x == 0 ? V(0) : x);
    if constexpr (op == UnaryOp::kSign) return x > 0 ? V(1) : (x < 0 ? V(-1) : x);
    if constexpr (op == UnaryOp::kRelu) return x < 0 ? V(0) : x;
    if constexpr (std::is_floating_point_v<V>) {
      if constexpr (op == UnaryOp::kSqrt) return sqrt(x);
      if constexpr (op == UnaryOp::kReciprocal) return V(1) / x;
      if constexpr (op == UnaryOp::kExp) return exp(x);
      if constexpr (op == UnaryOp::kLog) return log(x);
      if constexpr (op == UnaryOp::kSigmoid) return V(1) / (V(1) + exp(-x));
      if constexpr (op == UnaryOp::kTanh) return tanh(x);
      if constexpr (op == UnaryOp::kErf) return erf(x);
      if constexpr (op == UnaryOp::kSin) return sin(x);
      if constexpr (op == UnaryOp::kCos) return cos(x);
      if constexpr (op == UnaryOp::kFloor) return floor(x);
      if constexpr (op == UnaryOp::kCeil) return ceil(x);
      if constexpr (op == UnaryOp::kRound) return rint(x);
    }
    return x;
  }

  template <class T>
  __device__ T operator()(T x) const {
    return narrowed<T>(compute(widened(x)));
  }
};

struct Not {
  static constexpr int kOperands = 1;
  __device__ bool operator()(bool x) const { return !x; }
};

struct IsNaN {
  static constexpr int kOperands = 1;
  template <class T>
  __device__ bool operator()(T x) const {
    const auto v = widened(x);
    return v != v;
  }
};

struct IsInf {
  static constexpr int kOperands = 1;
  template <class T>
  __device__ bool operator()(T x) const {
    const auto v = widened(x);
    return v - v != v - v && v == v;
  }
};

/// The bounds are read where they lie: the host never waits for them.
template <class T>
struct Clip {
  static constexpr int kOperands = 1;
  const T *low, *high;
  __device__ T operator()(T x) const {
    auto v = widened(x);
    if (low != nullptr && v < widened(*low)) v = widened(*low);
    if (high != nullptr && v > widened(*high)) v = widened(*high);
    return narrowed<T>(v);
  }
};

bool is_real(DType type) { return type == DType::kFloat || type == DType::kBFloat16 || type == DType::kFloat16 || type == DType::kDouble; }

bool is_integer(DType type) { return type == DType::kInt32 || type == DType::kInt64; }

template <UnaryOp op>
cudaError_t real(DType type, const void* x, void* y, int64_t count, cudaStream_t stream) {
  return dispatch_real(type, [&]<class T>() { return map(Unary<op>(), static_cast<const T*>(x), static_cast<T*>(y), count, stream); });
}

template <UnaryOp op>
cudaError_t number(DType type, const void* x, void* y, int64_t count, cudaStream_t stream) {
  return dispatch_number(type, [&]<class T>() { return map(Unary<op>(), static_cast<const T*>(x), static_cast<T*>(y), count, stream); });
}

}  // namespace

bool unary_supports(UnaryOp op, DType type) {
  switch (op) {
    case UnaryOp::kNot:
      return type == DType::kBool;
    case UnaryOp::kNeg:
    case UnaryOp::kAbs:
    case UnaryOp::kSign:
    case UnaryOp::kRelu:
      return is_real(type) || is_integer(type);
    default:
      return is_real(type);
  }
}

cudaError_t unary(UnaryOp op, DType type, const void* x, void* y, int64_t count, cudaStream_t stream) {
  if (!unary_supports(op, type)) return cudaErrorInvalidValue;
  switch (op) {
    case UnaryOp::kNeg:
      return number<UnaryOp::kNeg>(type, x, y, count, stream);
    case UnaryOp::kAbs:
      return number<UnaryOp::kAbs>(type, x, y, count, stream);
    case UnaryOp::kSign:
      return number<UnaryOp::kSign>(type, x, y, count, stream);
    case UnaryOp::kRelu:
      return number<UnaryOp::kRelu>(type, x, y, count, stream);
    case UnaryOp::kSqrt:
      return real<UnaryOp::kSqrt>(type, x, y, count, stream);
    case UnaryOp::kReciprocal:
      return real<UnaryOp::kReciprocal>(type, x, y, count, stream);
    case UnaryOp::kExp:
      return real<UnaryOp::kExp>(type, x, y, count, stream);
    case UnaryOp::kLog:
      return real<UnaryOp::kLog>(type, x, y, count, stream);
    case UnaryOp::kSigmoid:
      return real<UnaryOp::kSigmoid>(type, x, y, count, stream);
    case UnaryOp::kTanh:
      return real<UnaryOp::kTanh>(type, x, y, count, stream);
    case UnaryOp::kErf:
      return real<UnaryOp::kErf>(type, x, y, count, stream);
    case UnaryOp::kSin:
      return real<UnaryOp::kSin>(type, x, y, count, stream);
    case UnaryOp::kCos:
      return real<UnaryOp::kCos>(type, x, y, count, stream);
    case UnaryOp::kFloor:
      return real<UnaryOp::kFloor>(type, x, y, count, stream);
    case UnaryOp::kCeil:
      return real<UnaryOp::kCeil>(type, x, y, count, stream);
    case UnaryOp::kRound:
      return real<UnaryOp::kRound>(type, x, y, count, stream);
    case UnaryOp::kNot:
      return map(Not(), static_cast<const bool*>(x), static_cast<bool*>(y), count, stream);
    case UnaryOp::kIsNaN:
      return dispatch_real(type, [&]<class T>() { return map(IsNaN(), static_cast<const T*>(x), static_cast<bool*>(y), count, stream); });
    case UnaryOp::kIsInf:
      return dispatch_real(type, [&]<class T>() { return map(IsInf(), static_cast<const T*>(x), static_cast<bool*>(y), count, stream); });
  }
  return cudaErrorInvalidValue;
}

cudaError_t clip(DType type, const void* x, const void* low, const void* high, void* y, int64_t count, cudaStream_t stream) {
  return dispatch_number(type, [&]<class T>() {
    return map(Clip<T>{static_cast<const T*>(low), static_cast<const T*>(high)}, static_cast<const T*>(x), static_cast<T*>(y), count, stream);
  });
}

}  // namespace halo::cuda
