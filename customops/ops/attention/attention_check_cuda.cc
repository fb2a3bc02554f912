// The CUDA kernel of attention against that of the CPU.
#include "ops/attention/attention_check_cuda.h"

#include "check/cuda/limits.h"
#include "check/head_order.h"

namespace halo::check::attention {

namespace {

template <class T>
void check_attention(const attention::GpuProblem& problem) {
  const attention::GpuInputs<T> in(problem);
  const attention::OnGpu<T> device(in);
  const OnDevice<float> sums(in.rows);
  const std::string what = "attention " + in.what;
  const auto run = [&](T* out) {
    return attention_cuda(type_of<T>(), device.q.data(), device.k.data(), device.v.data(), device.given, out, sums.data(), in.sizes, in.scale, nullptr,
                          nullptr);
  };
  const auto found = run_twice<T>(what, in.queries, run);
  expect_all_near<T>(
      found, reals(in.y), [](double x) { return attention::kRough<T> * (1 + std::fabs(x)); }, what);
  const AttentionSizes& s = in.sizes;
  const OnDevice<T> q(as_bshd(in.q, s.heads, s.queries, s.dim)), k(as_bshd(in.k, s.groups, s.keys, s.dim)), v(as_bshd(in.v, s.groups, s.keys, s.dim));
  const OnDevice<float> sums_by_token(in.rows);
  const auto by_token = run_twice<T>(what + " bshd", in.queries, [&](T* out) {
    return attention_cuda(type_of<T>(), q.data(), k.data(), v.data(), device.given, out, sums_by_token.data(), in_bshd(s), in.scale, nullptr, nullptr);
  });
  const auto expected = as_bshd(found, s.heads, s.queries, s.dim);
  expect(same(by_token.data(), expected.data(), in.queries), what + ": heads side by side changed bits");
  const auto log_sums = sums.download(what), log_sums_by_token = sums_by_token.download(what);
  expect(same(log_sums.data(), log_sums_by_token.data(), in.rows), what + ": heads side by side changed bits of log sums");
  expect_all_near<float>(
      log_sums, reals(in.sums), [](double x) { return 1e-5 * (1 + std::fabs(x)); }, what + " sums");
}

template <class T>
void check_all() {
  for (const attention::GpuProblem& problem : attention::gpu_problems()) check_attention<T>(problem);
}

}  // namespace

HALO_CHECK(cuda_attention_float_as_the_cpu, Memory::kShared) { check_all<float>(); }
HALO_CHECK(cuda_attention_bfloat16_as_the_cpu, Memory::kShared) { check_all<BFloat16>(); }
HALO_CHECK(cuda_attention_float16_as_the_cpu, Memory::kShared) { check_all<Float16>(); }

HALO_CHECK(limits_of_attention_are_named) {
  const AttentionMask mask;
  const AttentionSizes many{.batch = 2048, .heads = 32, .groups = 8, .queries = 1, .keys = 1, .dim = 64};
  expect_refused(attention_cuda(kFloat, none, none, none, mask, nowhere, no_floats, many, 1.0f, nullptr, nullptr), "at most 65535 ", "65536");
  const AttentionSizes wide{.batch = 1, .heads = 1, .groups = 1, .queries = 1, .keys = 1, .dim = 257};
  expect_refused(attention_cuda(kFloat, none, none, none, mask, nowhere, no_floats, wide, 1.0f, nullptr, nullptr), "heads of 1 to 256 channels", "257");
}

}  // namespace halo::check::attention
