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

template <UnaryOp op>
Status real(DType type, const void* x, void* y, int64_t count, cudaStream_t stream) {
  return dispatch_real(type, [&]<class T>() { return map(Unary<op>(), static_cast<const T*>(x), static_cast<T*>(y), count, stream); });
}

template <UnaryOp op>
Status number(DType type, const void* x, void* y, int64_t count, cudaStream_t stream) {
  return dispatch_number(type, [&]<class T>() { return map(Unary<op>(), static_cast<const T*>(x), static_cast<T*>(y), count, stream); });
}

/// Functions of a number that give bool.
template <class F>
Status test(DType type, const void* x, void* y, int64_t count, cudaStream_t stream) {
  return dispatch_real(type, [&]<class T>() { return map(F(), static_cast<const T*>(x), static_cast<bool*>(y), count, stream); });
}

Status negate(DType, const void* x, void* y, int64_t count, cudaStream_t stream) {
  return map(Not(), static_cast<const bool*>(x), static_cast<bool*>(y), count, stream);
}

/// Which types an operator takes, and what runs it.
struct Row {
  UnaryOp op;
  bool (*takes)(DType type);
  Status (*run)(DType type, const void* x, void* y, int64_t count, cudaStream_t stream);
};

constexpr Row kRows[] = {
    {UnaryOp::kNeg, NumberTypes::has, number<UnaryOp::kNeg>},
    {UnaryOp::kAbs, NumberTypes::has, number<UnaryOp::kAbs>},
    {UnaryOp::kSign, NumberTypes::has, number<UnaryOp::kSign>},
    {UnaryOp::kRelu, NumberTypes::has, number<UnaryOp::kRelu>},
    {UnaryOp::kSqrt, RealTypes::has, real<UnaryOp::kSqrt>},
    {UnaryOp::kReciprocal, RealTypes::has, real<UnaryOp::kReciprocal>},
    {UnaryOp::kExp, RealTypes::has, real<UnaryOp::kExp>},
    {UnaryOp::kLog, RealTypes::has, real<UnaryOp::kLog>},
    {UnaryOp::kSigmoid, RealTypes::has, real<UnaryOp::kSigmoid>},
    {UnaryOp::kTanh, RealTypes::has, real<UnaryOp::kTanh>},
    {UnaryOp::kErf, RealTypes::has, real<UnaryOp::kErf>},
    {UnaryOp::kSin, RealTypes::has, real<UnaryOp::kSin>},
    {UnaryOp::kCos, RealTypes::has, real<UnaryOp::kCos>},
    {UnaryOp::kFloor, RealTypes::has, real<UnaryOp::kFloor>},
    {UnaryOp::kCeil, RealTypes::has, real<UnaryOp::kCeil>},
    {UnaryOp::kRound, RealTypes::has, real<UnaryOp::kRound>},
    {UnaryOp::kNot, TypeList<bool>::has, negate},
    {UnaryOp::kIsNaN, RealTypes::has, test<IsNaN>},
    {UnaryOp::kIsInf, RealTypes::has, test<IsInf>},
};

const Row* row_of(UnaryOp op) {
  for (const Row& row : kRows) {
    if (row.op == op) return &row;
  }
  return nullptr;
}

}  // namespace

bool unary_supports(UnaryOp op, DType type) {
  const Row* row = row_of(op);
  return row != nullptr && row->takes(type);
}

Status unary(UnaryOp op, DType type, const void* x, void* y, int64_t count, cudaStream_t stream) {
  HALO_REQUIRE(unary_supports(op, type), "a type that this function takes", type, "Cast the tensor.");
  return row_of(op)->run(type, x, y, count, stream);
}

Status clip(DType type, const void* x, const void* low, const void* high, void* y, int64_t count, cudaStream_t stream) {
  return dispatch_number(type, [&]<class T>() {
    return map(Clip<T>{static_cast<const T*>(low), static_cast<const T*>(high)}, static_cast<const T*>(x), static_cast<T*>(y), count, stream);
  });
}

}  // namespace halo::cuda
