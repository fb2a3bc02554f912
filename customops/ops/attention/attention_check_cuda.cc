// The CUDA kernels of attention against those of the CPU.
#include <algorithm>

#include "check/cuda/device.h"
#include "ops/attention/attention.h"
#include "ops/attention_grad/attention_grad.h"

namespace halo::check {

namespace {

struct Problem {
  AttentionSizes sizes;
  bool causal, has_mask, has_documents;
  bool is_scattered = false;  // documents whose tokens lie apart
};

/// Scores and gradients are sums over channels and keys; a 16-bit kernel rounds probabilities and gradients of scores in between.
template <class T>
void check_attention(const Problem& problem) {
  const AttentionSizes& s = problem.sizes;
  const int64_t queries = s.batch * s.heads * s.queries * s.dim, keys = s.batch * s.groups * s.keys * s.dim, rows = s.batch * s.heads * s.queries;
  const auto make = [](int64_t count, uint32_t seed) {
    std::vector<T> values;
    for (const float v : normal(count, seed)) values.push_back(from_float<T>(v));
    return values;
  };
  const auto q = make(queries, 71), k = make(keys, 72), v = make(keys, 73), dy = make(queries, 74);
  std::vector<int64_t> mask, documents;
  for (int64_t i = 0; i < s.batch * s.keys; ++i) mask.push_back(i % 11 != 3 && i >= 2);
  for (int64_t i = 0; i < s.batch * s.queries; ++i) documents.push_back(problem.is_scattered ? i * 5 % 3 - 1 : i / 7 * 1000000007);
  const auto scale = static_cast<float>(1 / std::sqrt(static_cast<double>(s.dim)));
  const AttentionMask host{problem.has_mask ? mask.data() : nullptr, problem.has_documents ? documents.data() : nullptr, problem.causal};
  std::vector<T> y(q.size()), dq(q.size()), dk(k.size()), dv(k.size());
  std::vector<float> sums(static_cast<size_t>(rows)), work(static_cast<size_t>(std::max(attention_work<T>(s), attention_grad_work<T>(s))));
  attention_cpu(q.data(), k.data(), v.data(), host, y.data(), sums.data(), s, scale, work.data(), PlainProducts(), SerialExecutor());
  attention_grad_cpu<T>({dy.data(), q.data(), k.data(), v.data(), y.data(), sums.data()}, host, {dq.data(), dk.data(), dv.data()}, s, scale, work.data(),
                        PlainProducts(), SerialExecutor());
  const OnDevice<T> q_device(q), k_device(k), v_device(v), dy_device(dy), y_given(y);
  const OnDevice<int64_t> mask_device(mask), documents_device(documents);
  const OnDevice<float> sums_device(rows), sums_given(sums);
  const AttentionMask given{problem.has_mask ? mask_device.data() : nullptr, problem.has_documents ? documents_device.data() : nullptr, problem.causal};
  const std::string what = "attention " + name_of_type<T>() + " B " + std::to_string(s.batch) + " H " + std::to_string(s.heads) + " G " +
                           std::to_string(s.groups) + " T " + std::to_string(s.queries) + " S " + std::to_string(s.keys) + " D " + std::to_string(s.dim) +
                           (problem.causal ? " causal" : "") + (problem.has_mask ? " mask" : "") + (problem.has_documents ? " documents" : "");
  // Values of sums stay near 1 to 10: an absolute part for those that cancel.
  const double rough = std::is_same_v<T, float> ? 2e-5 : (std::is_same_v<T, BFloat16> ? 2e-2 : 3e-3);
  const auto near = [rough](double x) { return rough * (1 + std::fabs(x)); };
  const auto run = [&](T* out) {
    return attention_cuda(type_of<T>(), q_device.data(), k_device.data(), v_device.data(), given, out, sums_device.data(), s, scale, nullptr, nullptr);
  };
  expect_all_near<T>(run_twice<T>(what, queries, run), reals(y), near, what);
  expect_all_near<float>(
      sums_device.download(what), reals(sums), [](double x) { return 1e-5 * (1 + std::fabs(x)); }, what + " sums");
  const OnDevice<uint8_t> workspace(attention_grad_workspace_cuda(s));
  const OnDevice<T> dk_device(keys), dv_device(keys);
  const auto gradient = [&](T* dq_out, T* dk_out, T* dv_out) {
    const AttentionGradBuffers buffers{dy_device.data(),  q_device.data(), k_device.data(), v_device.data(), y_given.data(),
                                       sums_given.data(), dq_out,          dk_out,          dv_out};
    return attention_grad_cuda(type_of<T>(), buffers, given, s, scale, nullptr, workspace.data(), nullptr);
  };
  const auto grad_near = [rough, &s](double x) { return 4 * rough * (1 + std::fabs(x)) * std::sqrt(static_cast<double>(s.heads / s.groups)); };
  expect_all_near<T>(run_twice<T>(what, queries, [&](T* out) { return gradient(out, dk_device.data(), dv_device.data()); }), reals(dq), grad_near,
                     what + " dq");
  expect_all_near<T>(dk_device.download(what), reals(dk), grad_near, what + " dk");
  expect_all_near<T>(dv_device.download(what), reals(dv), grad_near, what + " dv");
  expect_all_near<T>(run_twice<T>(what, keys, [&](T* out) { return gradient(nullptr, out, nullptr); }), reals(dk), grad_near, what + " dk alone");
  workspace.download(what + " workspace");
}

template <class T>
void check_all() {
  std::vector<Problem> problems = {
      {{1, 2, 2, 24, 24, 16}, true, false, false},        {{2, 4, 2, 70, 70, 32}, true, true, false},   {{1, 4, 1, 33, 33, 64}, true, true, true},
      {{2, 2, 1, 9, 65, 20}, false, true, false},         {{1, 1, 1, 65, 65, 128}, false, false, true}, {{1, 2, 2, 40, 40, 256}, true, false, true},
      {{1, 1, 1, 1, 1, 1}, true, false, false},           {{1, 2, 1, 66, 66, 96}, true, true, false},   {{4, 64, 8, 40, 40, 16}, true, false, false},
      {{1, 2, 1, 130, 130, 24}, false, true, true, true}, {{1, 2, 2, 140, 140, 40}, true, false, true}};
  if (!is_reduced()) {
    problems.push_back({{2, 8, 2, 300, 300, 64}, true, true, true});
    problems.push_back({{1, 4, 4, 257, 257, 128}, true, false, false});
    problems.push_back({{1, 2, 2, 130, 130, 80}, false, true, true});
    problems.push_back({{2, 64, 8, 200, 200, 128}, true, true, false});
    problems.push_back({{2, 128, 32, 33, 65, 64}, false, false, false});
  }
  for (const Problem& problem : problems) check_attention<T>(problem);
}

}  // namespace

HALO_CHECK(cuda_attention_float_as_the_cpu, Memory::kShared) { check_all<float>(); }
HALO_CHECK(cuda_attention_bfloat16_as_the_cpu, Memory::kShared) { check_all<BFloat16>(); }
HALO_CHECK(cuda_attention_float16_as_the_cpu, Memory::kShared) { check_all<Float16>(); }

}  // namespace halo::check
