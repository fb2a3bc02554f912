#include "ops/attention/attention.h"

#include <cmath>
#include <limits>

#include "check/check.h"
#include "common/dtype.h"
#include "ops/attention_grad/attention_grad.h"

namespace halo::check {

namespace {

constexpr double kRoundoff = 0x1p-24;

struct Problem {
  AttentionSizes sizes;
  bool causal = true, has_mask = false, has_documents = false;
};

const Problem kProblems[] = {
    {{1, 1, 1, 1, 1, 2}},
    {{2, 2, 2, 7, 7, 8}},
    {{2, 4, 2, 33, 33, 8}},
    {{1, 3, 1, 65, 65, 64}},
    {{3, 4, 2, 33, 33, 8}, true, true, false},
    {{3, 4, 2, 33, 33, 8}, true, false, true},
    {{3, 4, 2, 33, 33, 8}, true, true, true},
    {{3, 4, 2, 33, 33, 8}, false, true, true},
    {{2, 4, 2, 7, 19, 8}, false},
    {{2, 4, 1, 7, 200, 3}, false, true, false},
    {{2, 4, 2, 150, 150, 16}, true, true, false},
};

template <class T>
std::vector<T> typed(const std::vector<float>& values) {
  std::vector<T> result(values.size());
  for (size_t i = 0; i < values.size(); ++i) result[i] = from_float<T>(values[i]);
  return result;
}

/// Inputs of both kernels; row 0 of the batch is padded on the left by a few keys and row 1 has no key at all.
template <class T>
struct Inputs {
  explicit Inputs(const Problem& p) : problem(p), queries(p.sizes.batch * p.sizes.heads * p.sizes.queries * p.sizes.dim) {
    const AttentionSizes& s = p.sizes;
    keys = s.batch * s.groups * s.keys * s.dim;
    q = typed<T>(normal(queries, 1));
    k = typed<T>(normal(keys, 2));
    v = typed<T>(normal(keys, 3));
    dy = typed<T>(normal(queries, 4));
    for (int64_t i = 0; i < s.batch * s.keys; ++i) {
      mask.push_back(i / s.keys == 1 ? 0 : (i % s.keys) / 4);
      documents.push_back(((i % s.keys) / 10) * 1000000007 - i / s.keys);
    }
  }

  AttentionMask given() const { return {problem.has_mask ? mask.data() : nullptr, problem.has_documents ? documents.data() : nullptr, problem.causal}; }

  bool sees(int64_t batch, int64_t i, int64_t j) const {
    const auto at = [&](const std::vector<int64_t>& ids, int64_t token) { return ids[static_cast<size_t>(batch * problem.sizes.keys + token)]; };
    return (!problem.causal || j <= i) && (!problem.has_mask || at(mask, j) != 0) && (!problem.has_documents || at(documents, i) == at(documents, j));
  }

  Problem problem;
  int64_t queries, keys = 0;
  std::vector<T> q, k, v, dy;
  std::vector<int64_t> mask, documents;
};

template <class T>
double at(const std::vector<T>& x, int64_t i) {
  return to_float(x[static_cast<size_t>(i)]);
}

double scale_of(const AttentionSizes& s) { return static_cast<double>(1.0f / std::sqrt(static_cast<float>(s.dim))); }

/// Scores stay below 10 here, so that a probability is off by (D + 3) 10 u twice, and by less than 128 u for the rest.
double factor(const AttentionSizes& s) { return (20.0 * static_cast<double>(s.dim + 3) + 128) * kRoundoff; }

struct Forward {
  std::vector<double> y, log_sum, p;
};

template <class T>
Forward plain_attention(const Inputs<T>& in) {
  const AttentionSizes& s = in.problem.sizes;
  Forward out;
  for (int64_t row = 0; row < s.batch * s.heads * s.queries; ++row) {
    const int64_t batch = row / s.queries / s.heads, head = row / s.queries % s.heads;
    const int64_t key_at = (batch * s.groups + head / (s.heads / s.groups)) * s.keys * s.dim;
    double sum = 0;
    std::vector<double> p(static_cast<size_t>(s.keys)), y(static_cast<size_t>(s.dim));
    for (int64_t j = 0; j < s.keys; ++j) {
      double score = 0;
      for (int64_t d = 0; d < s.dim; ++d) score += at(in.q, row * s.dim + d) * at(in.k, key_at + j * s.dim + d);
      p[static_cast<size_t>(j)] = in.sees(batch, row % s.queries, j) ? std::exp(scale_of(s) * score) : 0;
      sum += p[static_cast<size_t>(j)];
    }
    for (int64_t j = 0; j < s.keys; ++j) {
      double& own = p[static_cast<size_t>(j)];
      own = sum > 0 ? own / sum : 0;
      for (int64_t d = 0; d < s.dim; ++d) y[static_cast<size_t>(d)] += own * at(in.v, key_at + j * s.dim + d);
    }
    out.log_sum.push_back(std::log(sum));
    out.y.insert(out.y.end(), y.begin(), y.end());
    out.p.insert(out.p.end(), p.begin(), p.end());
  }
  return out;
}

template <class T>
bool same(T* a, T* b, int64_t count) {
  return __builtin_memcmp(a, b, static_cast<size_t>(count) * sizeof(T)) == 0;
}

template <class T>
void check_attention(const Problem& problem, double rounding) {
  const Inputs<T> in(problem);
  const AttentionSizes& s = problem.sizes;
  const int64_t rows = s.batch * s.heads * s.queries;
  const Forward expected = plain_attention(in);
  Guarded<T> y(in.queries), again(in.queries);
  Guarded<float> log_sum(rows), log_sum_again(rows);
  const auto run = [&](int64_t bound, const Executor& executor, Guarded<T>& y_out, Guarded<float>& log_out) {
    Guarded<float> work(attention_work<T>(s, bound));
    attention_cpu(in.q.data(), in.k.data(), in.v.data(), in.given(), y_out.data(), log_out.data(), s, static_cast<float>(scale_of(s)), work.data(),
                  PlainProducts(), executor, bound);
    expect(y_out.intact() && log_out.intact() && work.intact(), "wrote outside");
  };
  run(kScoreBound, ThreadedExecutor(), y, log_sum);
  for (const int64_t bound : {kScoreBound, int64_t{1}, 3 * s.rows() * s.keys}) {
    run(bound, SerialExecutor(), again, log_sum_again);
    expect(same(y.data(), again.data(), in.queries) && same(log_sum.data(), log_sum_again.data(), rows), "threads or work memory changed bits");
  }
  const std::string what = "attention of " + std::to_string(s.queries) + " to " + std::to_string(s.keys) + " element ";
  for (int64_t i = 0; i < in.queries; ++i) {
    const double want = expected.y[static_cast<size_t>(i)];
    expect_near(to_float(y[i]), want, 5 * factor(s) + rounding * (std::fabs(want) + 1e-4), what + std::to_string(i));  // |v| < 5
  }
  for (int64_t i = 0; i < rows; ++i) expect_near(log_sum[i], expected.log_sum[static_cast<size_t>(i)], factor(s), what + std::to_string(i) + " log sum");
}

/// Sums of at most rows terms; |dy|, |v|, |q|, |k| < 5 and |dP - delta| < 50 D.
template <class T>
void check_gradient(const Problem& problem, double rounding) {
  const Inputs<T> in(problem);
  const AttentionSizes& s = problem.sizes;
  const int64_t rows = s.batch * s.heads * s.queries;
  const Forward forward = plain_attention(in);
  std::vector<float> y_float(forward.y.begin(), forward.y.end()), log_sum(forward.log_sum.begin(), forward.log_sum.end());
  const std::vector<T> y = typed<T>(y_float);
  std::vector<double> dq(in.q.size()), dk(in.k.size()), dv(in.k.size()), dq_size(in.q.size()), dk_size(in.k.size()), dv_size(in.k.size());
  for (int64_t row = 0; row < rows; ++row) {
    const int64_t key_at = (row / s.queries / s.heads * s.groups + row / s.queries % s.heads / (s.heads / s.groups)) * s.keys * s.dim;
    double delta = 0, delta_size = 0;
    for (int64_t d = 0; d < s.dim; ++d) {
      delta += at(in.dy, row * s.dim + d) * at(y, row * s.dim + d);
      delta_size += std::fabs(at(in.dy, row * s.dim + d) * at(y, row * s.dim + d));
    }
    for (int64_t j = 0; j < s.keys; ++j) {
      const double p = forward.p[static_cast<size_t>(row * s.keys + j)];
      double dp = 0, size = delta_size;
      for (int64_t d = 0; d < s.dim; ++d) {
        dp += at(in.dy, row * s.dim + d) * at(in.v, key_at + j * s.dim + d);
        size += std::fabs(at(in.dy, row * s.dim + d) * at(in.v, key_at + j * s.dim + d));
      }
      for (int64_t d = 0; d < s.dim; ++d) {
        const auto query = static_cast<size_t>(row * s.dim + d), key = static_cast<size_t>(key_at + j * s.dim + d);
        dq[query] += scale_of(s) * p * (dp - delta) * to_float(in.k[key]);
        dk[key] += scale_of(s) * p * (dp - delta) * to_float(in.q[query]);
        dv[key] += p * to_float(in.dy[query]);
        dq_size[query] += scale_of(s) * p * size * std::fabs(to_float(in.k[key]));
        dk_size[key] += scale_of(s) * p * size * std::fabs(to_float(in.q[query]));
        dv_size[key] += p * std::fabs(to_float(in.dy[query]));
      }
    }
  }
  Guarded<T> found_q(in.queries), found_k(in.keys), found_v(in.keys), again_q(in.queries), again_k(in.keys), again_v(in.keys);
  const AttentionGradInputs<T> given{in.dy.data(), in.q.data(), in.k.data(), in.v.data(), y.data(), log_sum.data()};
  const auto run = [&](int64_t bound, const Executor& executor, const AttentionGradOutputs<T>& out) {
    Guarded<float> work(attention_grad_work<T>(s, bound));
    attention_grad_cpu(given, in.given(), out, s, static_cast<float>(scale_of(s)), work.data(), PlainProducts(), executor, bound);
    expect(work.intact(), "wrote outside the work memory");
  };
  run(kScoreBound, ThreadedExecutor(), {found_q.data(), found_k.data(), found_v.data()});
  for (const int64_t bound : {kScoreBound, int64_t{1}, 6 * s.rows() * s.keys}) {
    run(bound, SerialExecutor(), {again_q.data(), again_k.data(), again_v.data()});
    expect(same(found_q.data(), again_q.data(), in.queries) && same(found_k.data(), again_k.data(), in.keys) && same(found_v.data(), again_v.data(), in.keys),
           "threads or work memory changed bits");
  }
  run(kScoreBound, SerialExecutor(), {nullptr, again_k.data(), nullptr});
  expect(same(found_k.data(), again_k.data(), in.keys), "an output that nobody wants changed another");
  expect(found_q.intact() && found_k.intact() && found_v.intact() && again_q.intact() && again_k.intact() && again_v.intact(), "wrote outside");
  const std::string what = "gradient of " + std::to_string(s.queries) + " to " + std::to_string(s.keys) + " element ";
  const auto compare = [&](Guarded<T>& found, const std::vector<double>& want, const std::vector<double>& size, const char* name) {
    for (size_t i = 0; i < want.size(); ++i) {
      const double tolerance = (factor(s) + static_cast<double>(s.dim + s.rows() + s.keys) * kRoundoff) * size[i] + rounding * (std::fabs(want[i]) + 1e-4);
      expect_near(to_float(found[static_cast<int64_t>(i)]), want[i], tolerance, what + std::to_string(i) + " of " + name);
    }
  };
  compare(found_q, dq, dq_size, "dq");
  compare(found_k, dk, dk_size, "dk");
  compare(found_v, dv, dv_size, "dv");
}

}  // namespace

HALO_CHECK(attention_is_softmax_over_visible_keys) {
  for (const Problem& problem : kProblems) {
    check_attention<float>(problem, 0);
    check_attention<BFloat16>(problem, 1.0 / 256);
    check_attention<Float16>(problem, 1.0 / 2048);
  }
}

HALO_CHECK(attention_grad_is_the_formula) {
  for (const Problem& problem : kProblems) {
    check_gradient<float>(problem, 0);
    check_gradient<BFloat16>(problem, 1.0 / 256);
    check_gradient<Float16>(problem, 1.0 / 2048);
  }
}

HALO_CHECK(attention_lets_nan_through) {
  const Problem problem{{1, 2, 1, 33, 33, 8}};
  const AttentionSizes& s = problem.sizes;
  for (int input = 0; input < 4; ++input) {
    Inputs<float> in(problem);
    std::vector<float>& bad = input == 0 ? in.q : input == 1 ? in.k : input == 2 ? in.v : in.dy;
    bad[77] = std::numeric_limits<float>::quiet_NaN();
    std::vector<float> y(in.q.size()), log_sum(66), dq(in.q.size()), dk(in.k.size()), dv(in.k.size());
    std::vector<float> work(static_cast<size_t>(attention_grad_work<float>(s)));
    attention_cpu(in.q.data(), in.k.data(), in.v.data(), in.given(), y.data(), log_sum.data(), s, 1.0f, work.data(), PlainProducts(), SerialExecutor());
    const AttentionGradInputs<float> given{in.dy.data(), in.q.data(), in.k.data(), in.v.data(), y.data(), log_sum.data()};
    attention_grad_cpu(given, in.given(), {dq.data(), dk.data(), dv.data()}, s, 1.0f, work.data(), PlainProducts(), SerialExecutor());
    const auto has_nan = [](const std::vector<float>& x) { return std::any_of(x.begin(), x.end(), [](float value) { return std::isnan(value); }); };
    expect(has_nan(y) == (input < 3), "NaN of input " + std::to_string(input) + " in y");
    expect(has_nan(dq) && has_nan(dk), "NaN of input " + std::to_string(input) + " in the gradient");
  }
}

}  // namespace halo::check
