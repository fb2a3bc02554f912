#include "ops/attention/attention_check.h"

#include <algorithm>
#include <limits>

#include "check/head_order.h"

namespace halo::check::attention {

namespace {

using namespace attention;

/// Heads side by side give the same bits, whatever is worked on at a time.
template <class T>
void check_in_bshd(const Inputs<T>& in, Guarded<T>& y, Guarded<float>& log_sum) {
  const AttentionSizes& s = in.problem.sizes;
  const AttentionSizes sizes = in_bshd(s);
  const auto q = as_bshd(in.q, s.heads, s.queries, s.dim), k = as_bshd(in.k, s.groups, s.keys, s.dim), v = as_bshd(in.v, s.groups, s.keys, s.dim);
  const auto expected = as_bshd(std::vector<T>(y.data(), y.data() + in.queries), s.heads, s.queries, s.dim);
  for (const int64_t bound : {kScoreBound, int64_t{1}, 3 * s.rows() * s.keys}) {
    Guarded<T> found(in.queries);
    Guarded<float> sums(s.batch * s.heads * s.queries), work(attention_work<T>(sizes, in.problem.has_documents, bound));
    attention_cpu(q.data(), k.data(), v.data(), in.given(), found.data(), sums.data(), sizes, static_cast<float>(scale_of(s)), work.data(), PlainProducts(),
                  ThreadedExecutor(), bound);
    expect(found.intact() && sums.intact() && work.intact(), "wrote outside, heads side by side");
    expect(same(found.data(), expected.data(), in.queries) && same(sums.data(), log_sum.data(), s.batch * s.heads * s.queries),
           "heads side by side changed bits");
  }
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
    Guarded<float> work(attention_work<T>(s, problem.has_documents, bound));
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
  check_in_bshd(in, y, log_sum);
  for (int64_t i = 0; i < rows; ++i) expect_near(log_sum[i], expected.log_sum[static_cast<size_t>(i)], factor(s), what + std::to_string(i) + " log sum");
}

}  // namespace

HALO_CHECK(attention_is_softmax_over_visible_keys) {
  for (const Problem& problem : kProblems) {
    check_attention<float>(problem, 0);
    check_attention<BFloat16>(problem, 1.0 / 256);
    check_attention<Float16>(problem, 1.0 / 2048);
  }
}

HALO_CHECK(attention_lets_nan_through) {
  const Problem problem{{1, 2, 1, 33, 33, 8}};
  const AttentionSizes& s = problem.sizes;
  for (int input = 0; input < 3; ++input) {
    Inputs<float> in(problem);
    std::vector<float>& bad = input == 0 ? in.q : input == 1 ? in.k : in.v;
    bad[77] = std::numeric_limits<float>::quiet_NaN();
    std::vector<float> y(in.q.size()), log_sum(66);
    std::vector<float> work(static_cast<size_t>(attention_work<float>(s, false)));
    attention_cpu(in.q.data(), in.k.data(), in.v.data(), in.given(), y.data(), log_sum.data(), s, 1.0f, work.data(), PlainProducts(), SerialExecutor());
    const auto has_nan = [](const std::vector<float>& x) { return std::any_of(x.begin(), x.end(), [](float value) { return std::isnan(value); }); };
    expect(has_nan(y), "NaN of input " + std::to_string(input) + " in y");
  }
}

}  // namespace halo::check::attention
