// Problems of attention and what comes out by plain loops, for the checks of the operator and of its gradient.
#pragma once

#include <cmath>
#include <string>
#include <vector>

#include "check/check.h"
#include "common/dtype.h"
#include "ops/attention/attention.h"

namespace halo::check::attention {

inline constexpr double kRoundoff = 0x1p-24;

struct Problem {
  AttentionSizes sizes;
  bool causal = true, has_mask = false, has_documents = false;
  int64_t window = 0;
};

inline const Problem kProblems[] = {
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
    {{2, 4, 2, 33, 33, 8}, true, false, false, 5},
    {{3, 4, 2, 70, 70, 8}, true, true, true, 9},
    {{1, 2, 1, 20, 20, 8}, true, false, false, 1},
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

  AttentionMask given() const {
    return {problem.has_mask ? mask.data() : nullptr, problem.has_documents ? documents.data() : nullptr, problem.causal, problem.window};
  }

  bool sees(int64_t batch, int64_t i, int64_t j) const {
    const auto at = [&](const std::vector<int64_t>& ids, int64_t token) { return ids[static_cast<size_t>(batch * problem.sizes.keys + token)]; };
    return (!problem.causal || j <= i) && (problem.window == 0 || i - j < problem.window) && (!problem.has_mask || at(mask, j) != 0) &&
           (!problem.has_documents || at(documents, i) == at(documents, j));
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

inline double scale_of(const AttentionSizes& s) { return static_cast<double>(1.0f / std::sqrt(static_cast<float>(s.dim))); }

/// Scores stay below 10 here, so that a probability is off by (D + 3) 10 u twice, and by less than 128 u for the rest.
inline double factor(const AttentionSizes& s) { return (20.0 * static_cast<double>(s.dim + 3) + 128) * kRoundoff; }

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

}  // namespace halo::check::attention
