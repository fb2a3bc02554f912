// The CUDA kernels of the gradient of attention against those of the CPU.
#include "check/cuda/limits.h"
#include "check/head_order.h"
#include "ops/attention/attention_check_cuda.h"
#include "ops/attention_grad/attention_grad.h"

namespace halo::check::attention_grad {

namespace {

/// The same bits where heads lie side by side.
template <class T>
void check_in_bshd(const attention::GpuInputs<T>& in, const std::vector<T>& dy, const AttentionMask& given, const std::vector<T>& dq, const std::vector<T>& dk,
                   const std::vector<T>& dv, const std::string& what) {
  const AttentionSizes& s = in.sizes;
  const auto by_query = [&s](const std::vector<T>& x) { return as_bshd(x, s.heads, s.queries, s.dim); };
  const auto by_key = [&s](const std::vector<T>& x) { return as_bshd(x, s.groups, s.keys, s.dim); };
  const OnDevice<T> dy_device(by_query(dy)), q(by_query(in.q)), k(by_key(in.k)), v(by_key(in.v)), y(by_query(in.y)), dk_device(in.keys), dv_device(in.keys);
  const OnDevice<float> sums(in.sums);
  const OnDevice<uint8_t> workspace(attention_grad_workspace_cuda(s));
  const auto found = run_twice<T>(what, in.queries, [&](T* out) {
    const AttentionGradBuffers buffers{dy_device.data(), q.data(), k.data(), v.data(), y.data(), sums.data(), out, dk_device.data(), dv_device.data()};
    return attention_grad_cuda(type_of<T>(), buffers, given, in_bshd(s), in.scale, nullptr, workspace.data(), nullptr);
  });
  expect(same(found.data(), by_query(dq).data(), in.queries), what + ": dq has other bits");
  expect(same(dk_device.download(what).data(), by_key(dk).data(), in.keys), what + ": dk has other bits");
  expect(same(dv_device.download(what).data(), by_key(dv).data(), in.keys), what + ": dv has other bits");
  workspace.download(what + " workspace");
}

template <class T>
void check_attention_grad(const attention::GpuProblem& problem) {
  const attention::GpuInputs<T> in(problem);
  const AttentionSizes& s = in.sizes;
  const auto dy = attention::GpuInputs<T>::make(in.queries, 74);
  std::vector<T> dq(in.q.size()), dk(in.k.size()), dv(in.v.size());
  std::vector<float> work(static_cast<size_t>(attention_grad_work<T>(s, problem.has_documents)));
  attention_grad_cpu<T>({dy.data(), in.q.data(), in.k.data(), in.v.data(), in.y.data(), in.sums.data()}, in.host, {dq.data(), dk.data(), dv.data()}, s,
                        in.scale, work.data(), PlainProducts(), SerialExecutor());
  const attention::OnGpu<T> device(in);
  const OnDevice<T> dy_device(dy), y_given(in.y), dk_device(in.keys), dv_device(in.keys);
  const OnDevice<float> sums_given(in.sums);
  const OnDevice<uint8_t> workspace(attention_grad_workspace_cuda(s));
  const auto gradient = [&](T* dq_out, T* dk_out, T* dv_out) {
    const AttentionGradBuffers buffers{dy_device.data(),  device.q.data(), device.k.data(), device.v.data(), y_given.data(),
                                       sums_given.data(), dq_out,          dk_out,          dv_out};
    return attention_grad_cuda(type_of<T>(), buffers, device.given, s, in.scale, nullptr, workspace.data(), nullptr);
  };
  const std::string what = "attention grad " + in.what;
  const auto near = [&s](double x) { return 4 * attention::kRough<T> * (1 + std::fabs(x)) * std::sqrt(static_cast<double>(s.heads / s.groups)); };
  const auto found_q = run_twice<T>(what, in.queries, [&](T* out) { return gradient(out, dk_device.data(), dv_device.data()); });
  const auto found_k = dk_device.download(what), found_v = dv_device.download(what);
  expect_all_near<T>(found_q, reals(dq), near, what + " dq");
  expect_all_near<T>(found_k, reals(dk), near, what + " dk");
  expect_all_near<T>(found_v, reals(dv), near, what + " dv");
  check_in_bshd<T>(in, dy, device.given, found_q, found_k, found_v, what + " bshd");
  expect_all_near<T>(run_twice<T>(what, in.keys, [&](T* out) { return gradient(nullptr, out, nullptr); }), reals(dk), near, what + " dk alone");
  workspace.download(what + " workspace");
}

template <class T>
void check_all() {
  for (const attention::GpuProblem& problem : attention::gpu_problems()) check_attention_grad<T>(problem);
}

}  // namespace

HALO_CHECK(cuda_attention_grad_float_as_the_cpu, Memory::kShared) { check_all<float>(); }
HALO_CHECK(cuda_attention_grad_bfloat16_as_the_cpu, Memory::kShared) { check_all<BFloat16>(); }
HALO_CHECK(cuda_attention_grad_float16_as_the_cpu, Memory::kShared) { check_all<Float16>(); }

HALO_CHECK(limits_of_attention_grad_are_named) {
  const AttentionSizes many{.batch = 2048, .heads = 32, .groups = 8, .queries = 1, .keys = 1, .dim = 64};
  expect_refused(attention_grad_cuda(kFloat, {}, AttentionMask(), many, 1.0f, nullptr, nowhere, nullptr), "at most 65535 ", "65536");
}

}  // namespace halo::check::attention_grad
