#include <algorithm>

#include "check/cuda/device.h"
#include "provider/kernels/elementwise.h"

namespace halo::check {

namespace {

using cuda::BinaryOp;
using cuda::UnaryOp;

struct Shapes {
  std::vector<int64_t> a, b, y;
};

/// Equal, scalars, rows and columns repeated, both operands repeated, odd sizes, an axis of 1 and of 0, more than 4 axes.
std::vector<Shapes> shapes() {
  std::vector<Shapes> list = {{{3, 24, 64}, {3, 24, 64}, {3, 24, 64}},
                              {{3, 24, 64}, {3, 24, 1}, {3, 24, 64}},
                              {{3, 24, 64}, {64}, {3, 24, 64}},
                              {{3, 24, 64}, {}, {3, 24, 64}},
                              {{}, {5, 7}, {5, 7}},
                              {{3, 1, 5}, {1, 7, 1}, {3, 7, 5}},
                              {{1, 1, 9, 9}, {4, 1, 1, 9}, {4, 1, 9, 9}},
                              {{}, {}, {}},
                              {{0, 3}, {1, 3}, {0, 3}},
                              {{2, 1, 3, 1, 5}, {1, 4, 1, 2, 1}, {2, 4, 3, 2, 5}},
                              {{13}, {13}, {13}},
                              {{1, 8}, {16, 8}, {16, 8}}};
  if (!is_reduced()) list.push_back({{257, 1027}, {257, 1}, {257, 1027}});
  return list;
}

double binary_of(BinaryOp op, double a, double b) {
  switch (op) {
    case BinaryOp::kAdd:
      return a + b;
    case BinaryOp::kSub:
      return a - b;
    case BinaryOp::kMul:
      return a * b;
    case BinaryOp::kDiv:
      return a / b;
    case BinaryOp::kPow:
      return std::pow(a, b);
    case BinaryOp::kMin:
      return std::isnan(a) || std::isnan(b) ? NAN : std::min(a, b);
    case BinaryOp::kMax:
      return std::isnan(a) || std::isnan(b) ? NAN : std::max(a, b);
    case BinaryOp::kMod: {
      const double rest = std::fmod(a, b);
      return rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest;
    }
    case BinaryOp::kFMod:
      return std::fmod(a, b);
    case BinaryOp::kAnd:
      return a != 0 && b != 0;
    case BinaryOp::kOr:
      return a != 0 || b != 0;
    case BinaryOp::kXor:
      return (a != 0) != (b != 0);
    case BinaryOp::kEqual:
      return a == b;
    case BinaryOp::kLess:
      return a < b;
    case BinaryOp::kGreater:
      return a > b;
    case BinaryOp::kLessOrEqual:
      return a <= b;
    default:
      return a >= b;
  }
}

bool gives_bool(BinaryOp op) { return op >= BinaryOp::kAnd; }

template <class T>
void check_binary(BinaryOp op) {
  if (!cuda::binary_supports(op, type_of<T>())) return;
  const bool is_division = op == BinaryOp::kDiv || op == BinaryOp::kMod || op == BinaryOp::kFMod;
  for (const Shapes& s : shapes()) {
    const cuda::Dims a_dims = dims_of(s.a), b_dims = dims_of(s.b), y_dims = dims_of(s.y);
    auto a = numbers<T>(a_dims.count(), 1, true), b = numbers<T>(b_dims.count(), 2, true);
    if constexpr (std::is_integral_v<T> && !std::is_same_v<T, bool>) {
      for (T& v : b) v = is_division && v == 0 ? T(3) : v;
    }
    const OnDevice<T> a_device(a), b_device(b);
    const std::string what = "binary " + std::to_string(static_cast<int>(op)) + " " + name_of_type<T>() + " rank " + std::to_string(y_dims.rank);
    std::vector<double> expected;
    for (int64_t i = 0; i < y_dims.count(); ++i) {
      const double x = real(static_cast<T>(a[static_cast<size_t>(broadcast_index(i, a_dims, y_dims))]));
      double r = binary_of(op, x, real(static_cast<T>(b[static_cast<size_t>(broadcast_index(i, b_dims, y_dims))])));
      if constexpr (std::is_integral_v<T>) r = gives_bool(op) ? r : std::trunc(r);
      if (!gives_bool(op) && std::isfinite(r) && std::isinf(real(typed<T>(r)))) r = real(typed<T>(r));
      expected.push_back(r);
    }
    const auto run = [&](auto* y) { return cuda::binary(op, type_of<T>(), a_device.data(), a_dims, b_device.data(), b_dims, y, y_dims, nullptr); };
    const auto exact = [](double) { return 0.0; };
    // One rounding of float32 in front of that of the type, more in Pow and Mod; a result at the edge of the type may be rounded to infinity.
    const double units = op == BinaryOp::kPow ? 40 : (op == BinaryOp::kMod || op == BinaryOp::kFMod ? 2 : 1);
    if (gives_bool(op)) {
      expect_all_near<bool>(run_twice<bool>(what, y_dims.count(), run), expected, exact, what);
    } else {
      expect_all_near<T>(run_twice<T>(what, y_dims.count(), run), expected, within<T>(units), what);
    }
  }
}

double unary_of(UnaryOp op, double x) {
  switch (op) {
    case UnaryOp::kNeg:
      return -x;
    case UnaryOp::kAbs:
      return std::fabs(x);
    case UnaryOp::kSign:
      return std::isnan(x) ? x : (x > 0) - (x < 0);
    case UnaryOp::kSqrt:
      return std::sqrt(x);
    case UnaryOp::kReciprocal:
      return 1 / x;
    case UnaryOp::kExp:
      return std::exp(x);
    case UnaryOp::kLog:
      return std::log(x);
    case UnaryOp::kSigmoid:
      return 1 / (1 + std::exp(-x));
    case UnaryOp::kTanh:
      return std::tanh(x);
    case UnaryOp::kErf:
      return std::erf(x);
    case UnaryOp::kRelu:
      return x < 0 ? 0 : x;
    case UnaryOp::kSin:
      return std::sin(x);
    case UnaryOp::kCos:
      return std::cos(x);
    case UnaryOp::kFloor:
      return std::floor(x);
    case UnaryOp::kCeil:
      return std::ceil(x);
    case UnaryOp::kRound:
      return std::nearbyint(x);
    case UnaryOp::kNot:
      return x == 0;
    case UnaryOp::kIsNaN:
      return std::isnan(x);
    case UnaryOp::kIsInf:
      return std::isinf(x);
  }
  return x;
}

template <class T>
void check_unary(UnaryOp op) {
  if (!cuda::unary_supports(op, type_of<T>())) return;
  for (const int64_t count : {int64_t{0}, int64_t{1}, int64_t{13}, int64_t{4096}, is_reduced() ? int64_t{5000} : int64_t{100003}}) {
    const auto x = numbers<T>(count, 3, true);
    const OnDevice<T> x_device(x);
    const std::string what = "unary " + std::to_string(static_cast<int>(op)) + " " + name_of_type<T>();
    std::vector<double> expected = reals(x);
    for (double& v : expected) {
      v = unary_of(op, v);
      const double limit = std::is_same_v<T, double> ? 1.7e308 : 3.4e38;
      if (std::fabs(v) > limit) v = v > 0 ? INFINITY : -INFINITY;
      if constexpr (std::is_same_v<T, Float16>) v = std::fabs(v) >= 65520 ? (v > 0 ? INFINITY : -INFINITY) : v;
    }
    const auto run = [&](auto* y) { return cuda::unary(op, type_of<T>(), x_device.data(), y, count, nullptr); };
    if (op >= UnaryOp::kNot) {
      expect_all_near<bool>(
          run_twice<bool>(what, count, run), expected, [](double) { return 0.0; }, what);
    } else {
      // Sine and cosine are 1 at most; the others are off by a few units.
      const auto near = within<T>(16);
      expect_all_near<T>(
          run_twice<T>(what, count, run), expected, [near](double v) { return near(v) + (std::fabs(v) <= 1 ? 1e-7 : 0); }, what);
    }
  }
}

template <class T>
void check_all() {
  for (int op = 0; op <= static_cast<int>(UnaryOp::kIsInf); ++op) check_unary<T>(static_cast<UnaryOp>(op));
  for (int op = 0; op <= static_cast<int>(BinaryOp::kGreaterOrEqual); ++op) check_binary<T>(static_cast<BinaryOp>(op));
}

template <class T>
void check_where() {
  for (const Shapes& s : shapes()) {
    const cuda::Dims a_dims = dims_of(s.a), b_dims = dims_of(s.b), y_dims = dims_of(s.y);
    const auto condition = numbers<bool>(b_dims.count(), 4);
    const auto a = numbers<T>(a_dims.count(), 5, true), b = numbers<T>(1, 6);
    const OnDevice<bool> c_device(condition);
    const OnDevice<T> a_device(a), b_device(b);
    std::vector<double> expected;
    for (int64_t i = 0; i < y_dims.count(); ++i) {
      expected.push_back(condition[static_cast<size_t>(broadcast_index(i, b_dims, y_dims))] ? real(a[static_cast<size_t>(broadcast_index(i, a_dims, y_dims))])
                                                                                            : real(b[0]));
    }
    const auto found = run_twice<T>("where", y_dims.count(), [&](T* y) {
      return cuda::where(sizeof(T), c_device.data(), b_dims, a_device.data(), a_dims, b_device.data(), cuda::Dims{}, y, y_dims, nullptr);
    });
    expect_all_near<T>(
        found, expected, [](double) { return 0.0; }, "where " + name_of_type<T>());
  }
}

}  // namespace

HALO_CHECK(cuda_elementwise_float) { check_all<float>(); }
HALO_CHECK(cuda_elementwise_bfloat16) { check_all<BFloat16>(); }
HALO_CHECK(cuda_elementwise_float16) { check_all<Float16>(); }
HALO_CHECK(cuda_elementwise_double) { check_all<double>(); }
HALO_CHECK(cuda_elementwise_integers) {
  check_all<int32_t>();
  check_all<int64_t>();
  check_all<bool>();
}

HALO_CHECK(cuda_where_chooses) {
  check_where<float>();
  check_where<BFloat16>();
  check_where<int64_t>();
}

HALO_CHECK(cuda_clip_sum_and_unequal_powers) {
  const auto x = numbers<float>(1000, 7, true);
  const OnDevice<float> x_device(x), low(std::vector<float>{-0.5f}), high(std::vector<float>{1.5f});
  std::vector<double> expected = reals(x);
  for (double& v : expected) v = std::isnan(v) ? v : std::min(1.5, std::max(-0.5, v));
  const auto clipped =
      run_twice<float>("clip", 1000, [&](float* y) { return cuda::clip(DType::kFloat, x_device.data(), low.data(), high.data(), y, 1000, nullptr); });
  expect_all_near<float>(
      clipped, expected, [](double) { return 0.0; }, "clip");

  const OnDevice<float> a(std::vector<float>{1, 2, 3}), b(std::vector<float>{10, 20}), c(std::vector<float>{100});
  const void* inputs[] = {a.data(), b.data(), c.data()};
  const cuda::Dims dims[] = {dims_of({3}), dims_of({2, 1}), dims_of({})};
  const auto sum = run_twice<float>("sum", 6, [&](float* y) {
    return cuda::variadic(BinaryOp::kAdd, DType::kFloat, inputs, dims, 3, y, dims_of({2, 3}), nullptr);
  });
  expect_all_near<float>(
      sum, {111, 112, 113, 121, 122, 123}, [](double) { return 0.0; }, "sum of three");
  const auto one =
      run_twice<float>("sum", 3, [&](float* y) { return cuda::variadic(BinaryOp::kAdd, DType::kFloat, inputs, dims, 1, y, dims_of({3}), nullptr); });
  expect_all_near<float>(
      one, {1, 2, 3}, [](double) { return 0.0; }, "sum of one");

  const OnDevice<int64_t> exponent(std::vector<int64_t>{3});
  const auto cubes = run_twice<float>("power", 3, [&](float* y) {
    return cuda::power(DType::kFloat, DType::kInt64, a.data(), dims_of({3}), exponent.data(), dims_of({}), y, dims_of({3}), nullptr);
  });
  expect_all_near<float>(cubes, {1, 8, 27}, within<float>(8), "power");
}

}  // namespace halo::check
