#include <algorithm>

#include "check/cuda/device.h"
#include "provider/kernels/reduce.h"

namespace halo::check {

namespace {

using cuda::ReduceOp;

struct Problem {
  std::vector<int64_t> sizes, axes;
};

/// Rows, columns, the middle, several axes, all, none, pieces (long sums of few outputs), an axis of 0.
std::vector<Problem> problems() {
  std::vector<Problem> list = {{{3, 24, 64}, {2}},     {{3, 24, 64}, {0, 1}},  {{3, 24, 64}, {1}}, {{3, 24, 64}, {0, 1, 2}}, {{5, 7}, {}},
                               {{2, 3, 4, 5}, {0, 2}}, {{2, 3, 4, 5}, {1, 3}}, {{72}, {0}},        {{1, 9, 1}, {1}},         {{40000}, {0}},
                               {{5000, 3}, {0}},       {{3, 5000}, {1}},       {{4, 0}, {1}},      {{2100, 40}, {1}},        {{2049, 5}, {1}}};
  if (!is_reduced()) {
    list.push_back({{4096, 131}, {0}});
    list.push_back({{131, 4096}, {1}});
    list.push_back({{600011}, {0}});  // as many pieces as there can be
  }
  return list;
}

double combine(ReduceOp op, const std::vector<double>& x) {
  double sum = op == ReduceOp::kProd ? 1 : (op == ReduceOp::kMax ? -INFINITY : (op == ReduceOp::kMin ? INFINITY : 0)), max = -INFINITY;
  for (const double v : x) max = std::max(max, v);
  for (const double v : x) {
    switch (op) {
      case ReduceOp::kProd:
        sum *= v;
        break;
      case ReduceOp::kMax:
        sum = std::isnan(v) || std::isnan(sum) ? NAN : std::max(sum, v);
        break;
      case ReduceOp::kMin:
        sum = std::isnan(v) || std::isnan(sum) ? NAN : std::min(sum, v);
        break;
      case ReduceOp::kSumSquare:
      case ReduceOp::kL2:
        sum += v * v;
        break;
      case ReduceOp::kL1:
        sum += std::fabs(v);
        break;
      case ReduceOp::kLogSumExp:
        sum += std::exp(v - max);
        break;
      default:
        sum += v;
    }
  }
  if (op == ReduceOp::kMean) sum /= static_cast<double>(x.size());
  if (op == ReduceOp::kL2) sum = std::sqrt(sum);
  if (op == ReduceOp::kLogSumExp) sum = x.empty() ? -INFINITY : max + std::log(sum);
  return sum;
}

template <class T>
void check_reduce(ReduceOp op) {
  if (!cuda::reduce_supports(op, type_of<T>())) return;
  for (const Problem& problem : problems()) {
    const cuda::Dims dims = dims_of(problem.sizes);
    bool reduced[cuda::kMaxRank] = {};
    for (const int64_t axis : problem.axes) reduced[axis] = true;
    auto x = numbers<T>(dims.count(), 11);
    if constexpr (!std::is_integral_v<T>) {
      // Products of many normal numbers vanish; near 1 they do not. Large values would drown the others of a sum.
      for (T& v : x) v = op == ReduceOp::kProd ? typed<T>(1 + std::tanh(real(v)) / 512) : (std::fabs(real(v)) > 50 ? typed<T>(1) : v);
    }
    int64_t kept = 1;
    for (int axis = 0; axis < dims.rank; ++axis) kept *= reduced[axis] ? 1 : dims.sizes[axis];
    std::vector<std::vector<double>> groups(static_cast<size_t>(kept));
    for (int64_t i = 0; i < dims.count(); ++i) {
      int64_t rest = i, at = 0, stride = 1;
      for (int axis = dims.rank - 1; axis >= 0; --axis) {
        const int64_t own = rest % dims.sizes[axis];
        rest /= dims.sizes[axis];
        if (reduced[axis]) continue;
        at += own * stride;
        stride *= dims.sizes[axis];
      }
      groups[static_cast<size_t>(at)].push_back(real(static_cast<T>(x[static_cast<size_t>(i)])));
    }
    const bool is_empty = dims.count() == 0;
    if (is_empty && (std::is_integral_v<T>)) continue;
    std::vector<double> expected, size;
    for (const auto& group : groups) {
      double e = combine(op, group), s = 0;
      for (const double v : group) s += std::fabs(v) * (op == ReduceOp::kSumSquare ? std::fabs(v) : 1);
      if (op == ReduceOp::kMean) s /= std::max<double>(1, static_cast<double>(group.size()));
      if (op == ReduceOp::kProd) s = std::fabs(e) * static_cast<double>(group.size());
      if (op == ReduceOp::kLogSumExp || op == ReduceOp::kL2) s = std::fabs(e) * 2;
      if constexpr (std::is_integral_v<T>) e = std::trunc(e);
      if (std::isfinite(e) && std::isinf(real(typed<T>(e)))) e = real(typed<T>(e));
      expected.push_back(e);
      size.push_back(s);
    }
    const OnDevice<T> x_device(x);
    const int64_t bytes = cuda::reduce_workspace(op, type_of<T>(), dims, reduced);
    const std::string what =
        "reduce " + std::to_string(static_cast<int>(op)) + " " + name_of_type<T>() + " of " + std::to_string(dims.count()) + " to " + std::to_string(kept);
    const auto found = run_twice<T>(what, kept, [&](T* y) {
      const OnDevice<uint8_t> workspace(bytes);
      const Status status = cuda::reduce(op, type_of<T>(), x_device.data(), dims, reduced, y, workspace.data(), bytes, nullptr);
      workspace.download(what + " workspace");
      return status;
    });
    // Sums of thousands of terms by a tree of partial sums: 64 units of the sum of magnitudes are plenty in float32; in float64 the plain loop is worse.
    const double unit = std::is_same_v<T, double> ? 0x1p-46 : 0x1p-24;
    int reported = 0;
    for (size_t i = 0; i < found.size() && reported < 3; ++i) {
      const double f = real(static_cast<T>(found[i])), e = expected[i];
      const double tolerance = std::is_integral_v<T> ? 0 : 64 * unit * size[i] + within<T>(4)(e);
      if (f == e || (std::isnan(f) && std::isnan(e)) || std::fabs(f - e) <= tolerance) continue;
      ++reported;
      expect(false, what + " element " + std::to_string(i) + ": expected " + std::to_string(e) + ", found " + std::to_string(f));
    }
  }
}

struct Middle {
  int64_t outer, size, inner;
};

template <class T>
void check_softmax() {
  for (const Middle& m : {Middle{5, 24, 1}, {3, 700, 1}, {2, 6000, 1}, {2, 16400, 1}, {3, 5, 7}, {1, 1, 1}, {72, 256, 1}}) {
    for (const bool logarithm : {false, true}) {
      auto x = numbers<T>(m.outer * m.size * m.inner, 12);
      x[0] = typed<T>(-INFINITY);
      if (m.outer > 1 && m.inner == 1) std::fill(x.begin() + m.size, x.begin() + 2 * m.size, typed<T>(-INFINITY));  // a row of nothing is NaN
      std::vector<double> expected(x.size());
      for (int64_t o = 0; o < m.outer; ++o) {
        for (int64_t i = 0; i < m.inner; ++i) {
          const auto at = [&](int64_t s) { return static_cast<size_t>((o * m.size + s) * m.inner + i); };
          double max = -INFINITY, sum = 0;
          for (int64_t s = 0; s < m.size; ++s) max = std::max(max, real(x[at(s)]));
          for (int64_t s = 0; s < m.size; ++s) sum += std::exp(real(x[at(s)]) - max);
          for (int64_t s = 0; s < m.size; ++s) {
            const double less = real(x[at(s)]) - max;
            expected[at(s)] = logarithm ? less - std::log(sum) : std::exp(less) / sum;
          }
        }
      }
      const OnDevice<T> x_device(x);
      const std::string what = std::string(logarithm ? "logarithm of " : "") + "softmax " + name_of_type<T>() + " of " + std::to_string(m.size);
      const auto found = run_twice<T>(what, m.outer * m.size * m.inner,
                                      [&](T* y) { return cuda::softmax(logarithm, type_of<T>(), x_device.data(), y, m.outer, m.size, m.inner, nullptr); });
      const auto near = within<T>(64);
      expect_all_near<T>(
          found, expected, [near](double v) { return near(v) + 1e-7; }, what);
    }
  }
}

template <class T>
void check_cumulative_sum() {
  for (const Middle& m : {Middle{2, 24, 1}, {3, 5, 40}, {1, 100, 33}}) {
    for (const bool exclusive : {false, true}) {
      for (const bool reverse : {false, true}) {
        const auto x = numbers<T>(m.outer * m.size * m.inner, 13);
        std::vector<double> expected(x.size());
        for (int64_t o = 0; o < m.outer; ++o) {
          for (int64_t i = 0; i < m.inner; ++i) {
            double sum = 0;
            for (int64_t s = 0; s < m.size; ++s) {
              const auto at = static_cast<size_t>((o * m.size + (reverse ? m.size - 1 - s : s)) * m.inner + i);
              expected[at] = exclusive ? sum : sum + real(x[at]);
              sum += real(x[at]);
            }
          }
        }
        const OnDevice<T> x_device(x);
        const auto found = run_twice<T>("cumulative sum", m.outer * m.size * m.inner, [&](T* y) {
          return cuda::cumulative_sum(type_of<T>(), x_device.data(), y, m.outer, m.size, m.inner, exclusive, reverse, nullptr);
        });
        expect_all_near<T>(
            found, expected, [](double) { return std::is_integral_v<T> ? 0.0 : 1e-3; }, "cumulative sum " + name_of_type<T>());
      }
    }
  }
}

template <class T>
void check_all() {
  for (int op = 0; op <= static_cast<int>(ReduceOp::kLogSumExp); ++op) check_reduce<T>(static_cast<ReduceOp>(op));
}

}  // namespace

HALO_CHECK(cuda_reduces_floats, Memory::kShared) {
  check_all<float>();
  check_all<double>();
}
HALO_CHECK(cuda_reduces_16_bits, Memory::kShared) {
  check_all<BFloat16>();
  check_all<Float16>();
}
HALO_CHECK(cuda_reduces_integers, Memory::kShared) {
  check_all<int64_t>();
  check_all<int32_t>();
}

HALO_CHECK(cuda_softmax_is_the_formula, Memory::kShared) {
  check_softmax<float>();
  check_softmax<BFloat16>();
  check_softmax<Float16>();
  check_softmax<double>();
}

HALO_CHECK(cuda_cumulative_sums, Memory::kShared) {
  check_cumulative_sum<float>();
  check_cumulative_sum<int64_t>();
}

}  // namespace halo::check
