#include "ops/attention_grad/attention_grad.h"

#include <algorithm>
#include <limits>

#include "check/head_order.h"
#include "ops/attention/attention_check.h"

namespace halo::check::attention_grad {

namespace {

using namespace attention;

template <class T>
struct Gradients {
  Guarded<T>&q, &k, &v;
};

/// Heads side by side give the same bits, whatever is worked on at a time.
template <class T>
void check_in_bshd(const Inputs<T>& in, const std::vector<T>& y, const std::vector<float>& log_sum, const Gradients<T>& expected) {
  const AttentionSizes& s = in.problem.sizes;
  const AttentionSizes sizes = in_bshd(s);
  const auto by_query = [&s](const std::vector<T>& x) { return as_bshd(x, s.heads, s.queries, s.dim); };
  const auto by_key = [&s](const std::vector<T>& x) { return as_bshd(x, s.groups, s.keys, s.dim); };
  const auto dy = by_query(in.dy), q = by_query(in.q), k = by_key(in.k), v = by_key(in.v), y_given = by_query(y);
  const auto dq = by_query({expected.q.data(), expected.q.data() + in.queries});
  const auto dk = by_key({expected.k.data(), expected.k.data() + in.keys}), dv = by_key({expected.v.data(), expected.v.data() + in.keys});
  for (const int64_t bound : {kScoreBound, int64_t{1}, 6 * s.rows() * s.keys}) {
    Guarded<T> found_q(in.queries), found_k(in.keys), found_v(in.keys);
    Guarded<float> work(attention_grad_work<T>(sizes, in.problem.has_documents, bound));
    attention_grad_cpu<T>({dy.data(), q.data(), k.data(), v.data(), y_given.data(), log_sum.data()}, in.given(),
                          {found_q.data(), found_k.data(), found_v.data()}, sizes, static_cast<float>(scale_of(s)), work.data(), PlainProducts(),
                          ThreadedExecutor(), bound);
    expect(found_q.intact() && found_k.intact() && found_v.intact() && work.intact(), "wrote outside, heads side by side");
    expect(same(found_q.data(), dq.data(), in.queries) && same(found_k.data(), dk.data(), in.keys) && same(found_v.data(), dv.data(), in.keys),
           "heads side by side changed bits of a gradient");
  }
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
    Guarded<float> work(attention_grad_work<T>(s, problem.has_documents, bound));
    attention_grad_cpu(given, in.given(), out, s, static_cast<float>(scale_of(s)), work.data(), PlainProducts(), executor, bound);
    expect(work.intact(), "wrote outside the work memory");
  };
  run(kScoreBound, ThreadedExecutor(), {found_q.data(), found_k.data(), found_v.data()});
  for (const int64_t bound : {kScoreBound, int64_t{1}, 6 * s.rows() * s.keys}) {
    run(bound, SerialExecutor(), {again_q.data(), again_k.data(), again_v.data()});
    expect(same(found_q.data(), again_q.data(), in.queries) && same(found_k.data(), again_k.data(), in.keys) && same(found_v.data(), again_v.data(), in.keys),
           "threads or work memory changed bits");
  }
  check_in_bshd<T>(in, y, log_sum, {found_q, found_k, found_v});
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

HALO_CHECK(attention_grad_is_the_formula) {
  for (const Problem& problem : kProblems) {
    check_gradient<float>(problem, 0);
    check_gradient<BFloat16>(problem, 1.0 / 256);
    check_gradient<Float16>(problem, 1.0 / 2048);
  }
}

HALO_CHECK(attention_grad_lets_nan_through) {
  const Problem problem{{1, 2, 1, 33, 33, 8}};
  const AttentionSizes& s = problem.sizes;
  for (int input = 0; input < 4; ++input) {
    Inputs<float> in(problem);
    std::vector<float>& bad = input == 0 ? in.q : input == 1 ? in.k : input == 2 ? in.v : in.dy;
    bad[77] = std::numeric_limits<float>::quiet_NaN();
    std::vector<float> y(in.q.size()), log_sum(66), dq(in.q.size()), dk(in.k.size()), dv(in.k.size());
    std::vector<float> work(static_cast<size_t>(attention_grad_work<float>(s, false)));
    attention_cpu(in.q.data(), in.k.data(), in.v.data(), in.given(), y.data(), log_sum.data(), s, 1.0f, work.data(), PlainProducts(), SerialExecutor());
    const AttentionGradInputs<float> given{in.dy.data(), in.q.data(), in.k.data(), in.v.data(), y.data(), log_sum.data()};
    attention_grad_cpu(given, in.given(), {dq.data(), dk.data(), dv.data()}, s, 1.0f, work.data(), PlainProducts(), SerialExecutor());
    const auto has_nan = [](const std::vector<float>& x) { return std::any_of(x.begin(), x.end(), [](float value) { return std::isnan(value); }); };
    expect(has_nan(dq) && has_nan(dk), "NaN of input " + std::to_string(input) + " in the gradient");
  }
}

}  // namespace halo::check::attention_grad
