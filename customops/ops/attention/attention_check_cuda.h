// Problems of attention on a GPU and the CPU's results, for the checks of the operator and of its gradient.
#pragma once

#include <algorithm>
#include <cmath>

#include "check/cuda/device.h"
#include "ops/attention/attention.h"

namespace halo::check::attention {

struct GpuProblem {
  AttentionSizes sizes;
  bool causal, has_mask, has_documents;
  bool is_scattered = false;  // documents whose tokens lie apart
  int64_t window = 0;
};

inline std::vector<GpuProblem> gpu_problems() {
  std::vector<GpuProblem> problems = {{{1, 2, 2, 24, 24, 16}, true, false, false},
                                      {{2, 4, 2, 70, 70, 32}, true, true, false},
                                      {{1, 4, 1, 33, 33, 64}, true, true, true},
                                      {{2, 2, 1, 9, 65, 20}, false, true, false},
                                      {{1, 1, 1, 65, 65, 128}, false, false, true},
                                      {{1, 2, 2, 40, 40, 256}, true, false, true},
                                      {{1, 1, 1, 1, 1, 1}, true, false, false},
                                      {{1, 2, 1, 66, 66, 96}, true, true, false},
                                      {{4, 64, 8, 40, 40, 16}, true, false, false},
                                      {{1, 2, 1, 130, 130, 24}, false, true, true, true},
                                      {{1, 2, 2, 140, 140, 40}, true, false, true},
                                      {{1, 2, 1, 200, 200, 32}, true, false, false, false, 21},
                                      {{2, 2, 1, 150, 150, 160}, true, true, true, false, 65}};
  if (!is_reduced()) {
    problems.push_back({{2, 8, 2, 300, 300, 64}, true, true, true});
    problems.push_back({{1, 4, 4, 257, 257, 128}, true, false, false});
    problems.push_back({{1, 2, 2, 130, 130, 80}, false, true, true});
    problems.push_back({{2, 64, 8, 200, 200, 128}, true, true, false});
    problems.push_back({{2, 128, 32, 33, 65, 64}, false, false, false});
  }
  return problems;
}

/// Inputs on both sides, and y and log_sum_exp of the CPU's kernel.
template <class T>
struct GpuInputs {
  explicit GpuInputs(const GpuProblem& problem) : sizes(problem.sizes) {
    const AttentionSizes& s = sizes;
    for (int64_t i = 0; i < s.batch * s.keys; ++i) mask.push_back(i % 11 != 3 && i >= 2);
    for (int64_t i = 0; i < s.batch * s.queries; ++i) documents.push_back(problem.is_scattered ? i * 5 % 3 - 1 : i / 7 * 1000000007);
    host = {problem.has_mask ? mask.data() : nullptr, problem.has_documents ? documents.data() : nullptr, problem.causal, problem.window};
    std::vector<float> work(static_cast<size_t>(attention_work<T>(s, problem.has_documents)));
    attention_cpu(q.data(), k.data(), v.data(), host, y.data(), sums.data(), s, scale, work.data(), PlainProducts(), SerialExecutor());
    what = name_of_type<T>() + " B " + std::to_string(s.batch) + " H " + std::to_string(s.heads) + " G " + std::to_string(s.groups) + " T " +
           std::to_string(s.queries) + " S " + std::to_string(s.keys) + " D " + std::to_string(s.dim) + (problem.causal ? " causal" : "") +
           (problem.has_mask ? " mask" : "") + (problem.has_documents ? " documents" : "") +
           (problem.window > 0 ? " window " + std::to_string(problem.window) : "");
  }

  static std::vector<T> make(int64_t count, uint32_t seed) { return rounded<T>(normal(count, seed)); }

  const AttentionSizes sizes;
  const int64_t rows = sizes.batch * sizes.heads * sizes.queries, queries = rows * sizes.dim, keys = sizes.batch * sizes.groups * sizes.keys * sizes.dim;
  const float scale = static_cast<float>(1 / std::sqrt(static_cast<double>(sizes.dim)));
  const std::vector<T> q = make(queries, 71), k = make(keys, 72), v = make(keys, 73);
  std::vector<T> y = std::vector<T>(q.size());
  std::vector<float> sums = std::vector<float>(static_cast<size_t>(rows));
  std::vector<int64_t> mask, documents;
  AttentionMask host;
  std::string what;
};

/// The same on the device.
template <class T>
struct OnGpu {
  explicit OnGpu(const GpuInputs<T>& in) : q(in.q), k(in.k), v(in.v), mask(in.mask), documents(in.documents) {
    given = {in.host.mask ? mask.data() : nullptr, in.host.documents ? documents.data() : nullptr, in.host.causal, in.host.window};
  }

  OnDevice<T> q, k, v;
  OnDevice<int64_t> mask, documents;
  AttentionMask given;
};

/// Scores and gradients are sums over channels and keys, near 1 to 10: an absolute part for those that cancel. A 16-bit kernel rounds probabilities and
/// gradients of scores in between.
template <class T>
inline constexpr double kRough = std::is_same_v<T, float> ? 2e-5 : (std::is_same_v<T, BFloat16> ? 2e-2 : 3e-3);

}  // namespace halo::check::attention
