// Attention by cuDNN against the kernels of the CPU; in the emulator plain loops stand for cuDNN, and what is checked is how masks reach it.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <memory>

#include "check/cuda/device.h"
#include "check/head_order.h"
#include "ops/attention/attention_cudnn.h"
#include "ops/attention_grad/attention_grad_cudnn.h"

namespace halo::check::attention {

namespace {

/// Which keys a mask shows: all without a mask, the first ones of each row, those but for some rows with holes, at the start too, or with none.
enum class Mask { kNone, kFirst, kMixed };

struct Problem {
  AttentionSizes sizes;
  bool causal = true;
  Mask mask = Mask::kNone;
  float scale = 0;     // 0: D^(-1/2)
  float far = 0;       // added to queries and taken from keys, so that all scores lie far below 0
  bool alone = false;  // whether one gradient alone is asked for
};

/// Null where there is none, and then it has said why.
std::unique_ptr<cuda::CudnnAttention> open_cudnn() {
#ifdef HALO_CUDA_EMULATED
  setenv("HALO_CUDNN", "plain loops", 0);
#endif
  auto made = std::make_unique<cuda::CudnnAttention>();
  const Status status = made->open();
  if (status.ok()) return made;
  std::printf("skipped: attention by cuDNN: %s\n", status.message().c_str());
  return nullptr;
}

/// Opened once.
cuda::CudnnAttention* cudnn() {
  static cuda::CudnnAttention* const opened = open_cudnn().release();
  return opened;
}

std::vector<int64_t> mask_of(const Problem& problem) {
  const AttentionSizes& s = problem.sizes;
  std::vector<int64_t> mask;
  for (int64_t b = 0; b < s.batch; ++b) {
    const int64_t length = std::max<int64_t>(1, s.keys - b * s.keys / 3);
    for (int64_t j = 0; j < s.keys; ++j) {
      const bool has_holes = problem.mask == Mask::kMixed && b % 3 == 1, has_none = problem.mask == Mask::kMixed && b % 4 == 2;
      mask.push_back(!has_none && (has_holes ? j >= 2 && j % 11 != 3 : j < length) ? 3 : 0);
    }
  }
  return mask;
}

std::string described(const Problem& problem) {
  const AttentionSizes& s = problem.sizes;
  const char* masks[] = {"", " first keys", " mixed masks"};
  return "B " + std::to_string(s.batch) + " H " + std::to_string(s.heads) + " G " + std::to_string(s.groups) + " T " + std::to_string(s.queries) + " S " +
         std::to_string(s.keys) + " D " + std::to_string(s.dim) + (problem.causal ? " causal" : "") + masks[static_cast<int>(problem.mask)] +
         (problem.far != 0 ? " far" : "");
}

/// What an attention by cuDNN reads, as the CPU has it, and what it gave where heads lie by head.
template <class T>
struct Found {
  const std::vector<T>&q, &k, &v, &dy, &y_given;
  const std::vector<float>& sums_given;
  std::vector<T> y, dq, dk, dv;
  std::vector<float> sums;
};

/// The same bits where heads lie side by side.
template <class T>
void check_in_bshd(const Found<T>& by_head, const AttentionSizes& s, const AttentionMask& given, float scale, const std::string& what) {
  const auto by_query = [&s](const std::vector<T>& x) { return as_bshd(x, s.heads, s.queries, s.dim); };
  const auto by_key = [&s](const std::vector<T>& x) { return as_bshd(x, s.groups, s.keys, s.dim); };
  const OnDevice<T> q(by_query(by_head.q)), k(by_key(by_head.k)), v(by_key(by_head.v)), dy(by_query(by_head.dy)), y_given(by_query(by_head.y_given));
  const OnDevice<T> y(q.size()), dq(q.size()), dk(k.size()), dv(k.size());
  const OnDevice<float> sums(static_cast<int64_t>(by_head.sums.size())), sums_given(by_head.sums_given);
  const AttentionSizes sizes = in_bshd(s);
  const AttentionGradBuffers buffers{dy.data(), q.data(), k.data(), v.data(), y_given.data(), sums_given.data(), dq.data(), dk.data(), dv.data()};
  int64_t forward_bytes = 0, gradient_bytes = 0;
  expect_success(attention_cudnn_workspace(*cudnn(), type_of<T>(), given, sizes, true, &forward_bytes), what);
  expect_success(attention_grad_cudnn_workspace(*cudnn(), type_of<T>(), buffers, given, sizes, &gradient_bytes), what);
  const OnDevice<uint8_t> workspace(std::max(forward_bytes, gradient_bytes));
  expect_success(attention_cudnn(*cudnn(), type_of<T>(), q.data(), k.data(), v.data(), given, y.data(), sums.data(), sizes, scale, workspace.data(), nullptr),
                 what);
  expect_success(attention_grad_cudnn(*cudnn(), type_of<T>(), buffers, given, sizes, scale, workspace.data(), nullptr), what);
  const auto equal = [&what](const auto& found, const auto& expected, const char* name) {
    const auto values = found.download(what);
    expect(same(values.data(), expected.data(), found.size()), what + ": " + name + " has other bits");
  };
  equal(y, by_query(by_head.y), "y");
  equal(sums, by_head.sums, "sums");
  equal(dq, by_query(by_head.dq), "dq");
  equal(dk, by_key(by_head.dk), "dk");
  equal(dv, by_key(by_head.dv), "dv");
  workspace.download(what + " workspace");
}

template <class T>
void check_problem(const Problem& problem) {
  const AttentionSizes& s = problem.sizes;
  const int64_t queries = s.batch * s.heads * s.queries * s.dim, keys = s.batch * s.groups * s.keys * s.dim, rows = s.batch * s.heads * s.queries;
  const auto make = [](int64_t count, uint32_t seed, float added) {
    std::vector<T> values;
    for (const float v : normal(count, seed)) values.push_back(from_float<T>(v + added));
    return values;
  };
  const auto q = make(queries, 71, problem.far), k = make(keys, 72, -problem.far), v = make(keys, 73, 0), dy = make(queries, 74, 0);
  const std::vector<int64_t> mask = mask_of(problem);
  const float scale = problem.scale != 0 ? problem.scale : static_cast<float>(1 / std::sqrt(static_cast<double>(s.dim)));
  const AttentionMask host{problem.mask == Mask::kNone ? nullptr : mask.data(), nullptr, problem.causal};
  std::vector<T> y(q.size()), dq(q.size()), dk(k.size()), dv(k.size());
  std::vector<float> sums(static_cast<size_t>(rows)), work(static_cast<size_t>(std::max(attention_work<T>(s, false), attention_grad_work<T>(s, false))));
  attention_cpu(q.data(), k.data(), v.data(), host, y.data(), sums.data(), s, scale, work.data(), PlainProducts(), SerialExecutor());
  attention_grad_cpu<T>({dy.data(), q.data(), k.data(), v.data(), y.data(), sums.data()}, host, {dq.data(), dk.data(), dv.data()}, s, scale, work.data(),
                        PlainProducts(), SerialExecutor());

  const OnDevice<T> q_device(q), k_device(k), v_device(v), dy_device(dy), y_given(y);
  const OnDevice<int64_t> mask_device(mask);
  const OnDevice<float> sums_device(rows), sums_given(sums);
  const AttentionMask given{problem.mask == Mask::kNone ? nullptr : mask_device.data(), nullptr, problem.causal};
  const std::string what = "attention by cuDNN " + name_of_type<T>() + " " + described(problem);
  // Probabilities and gradients of scores are rounded to the type in between, as are gradients by head where heads share keys.
  const double rough = std::is_same_v<T, BFloat16> ? 1e-2 : 1.5e-3;
  const auto near = [rough](double x) { return rough * (1 + std::fabs(x)); };
  const auto grad_near = [rough, &s](double x) { return 2 * rough * (1 + std::fabs(x)) * std::sqrt(static_cast<double>(s.heads / s.groups)); };
  expect(check_attention_cudnn(type_of<T>(), given, s).ok(), what + ": refused");

  int64_t bytes = 0;
  expect_success(attention_cudnn_workspace(*cudnn(), type_of<T>(), given, s, true, &bytes), what);
  const OnDevice<uint8_t> forward_workspace(bytes);
  const auto forward = [&](T* out) {
    return attention_cudnn(*cudnn(), type_of<T>(), q_device.data(), k_device.data(), v_device.data(), given, out, sums_device.data(), s, scale,
                           forward_workspace.data(), nullptr);
  };
  const auto found_y = run_twice<T>(what, queries, forward);
  const auto found_sums = sums_device.download(what);
  expect_all_near<T>(found_y, reals(y), near, what);
  expect_all_near<float>(
      found_sums, reals(sums), [](double x) { return 1e-5 * (1 + std::fabs(x)); }, what + " sums");
  forward_workspace.download(what + " workspace");

  const OnDevice<T> dk_device(keys), dv_device(keys);
  const auto buffers_of = [&](T* dq_out, T* dk_out, T* dv_out) {
    return AttentionGradBuffers{dy_device.data(), q_device.data(), k_device.data(), v_device.data(), y_given.data(), sums_given.data(), dq_out, dk_out, dv_out};
  };
  expect_success(attention_grad_cudnn_workspace(*cudnn(), type_of<T>(), buffers_of(nullptr, nullptr, nullptr), given, s, &bytes), what);
  const OnDevice<uint8_t> workspace(bytes);
  const auto gradient = [&](T* dq_out, T* dk_out, T* dv_out) {
    return attention_grad_cudnn(*cudnn(), type_of<T>(), buffers_of(dq_out, dk_out, dv_out), given, s, scale, workspace.data(), nullptr);
  };
  const auto found_q = run_twice<T>(what, queries, [&](T* out) { return gradient(out, dk_device.data(), dv_device.data()); });
  const auto found_k = dk_device.download(what), found_v = dv_device.download(what);
  expect_all_near<T>(found_q, reals(dq), grad_near, what + " dq");
  expect_all_near<T>(found_k, reals(dk), grad_near, what + " dk");
  expect_all_near<T>(found_v, reals(dv), grad_near, what + " dv");
  check_in_bshd<T>({q, k, v, dy, y, sums, found_y, found_q, found_k, found_v, found_sums}, s, given, scale, what + " bshd");
  if (problem.alone)
    expect_all_near<T>(run_twice<T>(what, keys, [&](T* out) { return gradient(nullptr, out, nullptr); }), reals(dk), grad_near, what + " dk alone");
  workspace.download(what + " workspace");
}

template <class T>
void check_all() {
  if (cudnn() == nullptr) return;
  std::vector<Problem> problems = {{.sizes = {2, 2, 1, 261, 261, 16}, .mask = Mask::kFirst},
                                   {.sizes = {4, 2, 1, 33, 33, 16}, .mask = Mask::kMixed, .alone = true},
                                   {.sizes = {3, 2, 2, 20, 40, 32}, .causal = false, .mask = Mask::kMixed},
                                   {.sizes = {1, 2, 2, 9, 9, 8}, .scale = 0.6f, .alone = true},
                                   {.sizes = {2, 2, 1, 1, 1, 64}}};
  if (!is_reduced()) {
    for (const int64_t tokens : {127, 128, 192, 261}) {
      problems.push_back({.sizes = {2, 4, tokens == 261 ? 1 : 2, tokens, tokens, 128}, .mask = Mask::kFirst});
      problems.push_back({.sizes = {1, 2, 2, tokens, tokens, 64}});
    }
    for (const int64_t tokens : {192, 704}) problems.push_back({.sizes = {1, 1, 1, tokens, tokens, 64}, .mask = Mask::kFirst, .far = 3.9f});
    for (const int64_t dim : {80, 96, 192, 256}) problems.push_back({.sizes = {4, 2, 1, 70, 70, dim}, .mask = Mask::kMixed});
    problems.push_back({.sizes = {1, 4, 2, 128, 128, 128}, .causal = false});
    problems.push_back({.sizes = {2, 4, 2, 64, 200, 128}, .causal = false, .mask = Mask::kFirst});
    problems.push_back({.sizes = {1, 32, 1, 128, 128, 64}});
    problems.push_back({.sizes = {4, 4, 1, 256, 256, 128}, .mask = Mask::kMixed, .alone = true});
  }
  for (const Problem& problem : problems) check_problem<T>(problem);
}

/// The same bits in each of many runs, launched one by one and as a recording, of a size whose gradient takes more than one slice. With a
/// handle of its own: while a stream is recorded, no other may be set on the handle, as other checks do at the same time.
void check_reruns() {
  const std::unique_ptr<cuda::CudnnAttention> own = open_cudnn();
  if (own == nullptr) return;
  const AttentionSizes s = is_reduced() ? AttentionSizes{2, 2, 1, 16, 16, 8} : AttentionSizes{6, 32, 8, 2048, 2048, 128};
  const int64_t queries = s.batch * s.heads * s.queries * s.dim, keys = s.pairs() * s.keys * s.dim, rows = s.batch * s.heads * s.queries;
  const std::string what = "attention by cuDNN again";
  const std::vector<BFloat16> values = rounded<BFloat16>(normal(queries, 81));
  const std::vector<BFloat16> key_values(values.begin(), values.begin() + static_cast<ptrdiff_t>(keys));
  const OnDevice<BFloat16> q(values), k(key_values), v(key_values), dy(values), y(queries), dq(queries), dk(keys), dv(keys);
  const OnDevice<float> sums(rows);
  const OnDevice<int64_t> mask(mask_of({.sizes = s, .mask = Mask::kFirst}));
  const AttentionMask given{mask.data(), nullptr, true};
  const AttentionGradBuffers buffers{dy.data(), q.data(), k.data(), v.data(), y.data(), sums.data(), dq.data(), dk.data(), dv.data()};
  int64_t forward_bytes = 0, gradient_bytes = 0;
  expect_success(attention_cudnn_workspace(*own, DType::kBFloat16, given, s, true, &forward_bytes), what);
  expect_success(attention_grad_cudnn_workspace(*own, DType::kBFloat16, buffers, given, s, &gradient_bytes), what);
  const OnDevice<uint8_t> workspace(std::max(forward_bytes, gradient_bytes));
  cudaStream_t stream = nullptr;
  expect_success(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), what);
  const auto launch = [&] {
    expect_success(attention_cudnn(*own, DType::kBFloat16, q.data(), k.data(), v.data(), given, y.data(), sums.data(), s, 0.09f, workspace.data(), stream),
                   what);
    expect_success(attention_grad_cudnn(*own, DType::kBFloat16, buffers, given, s, 0.09f, workspace.data(), stream), what);
  };
  std::vector<std::vector<BFloat16>> first;
  const auto compare = [&](const std::string& how) {
    expect_success(cudaStreamSynchronize(stream), what);
    const OnDevice<BFloat16>* outputs[] = {&y, &dq, &dk, &dv};
    for (size_t i = 0; i < 4; ++i) {
      const std::vector<BFloat16> found = outputs[i]->download(what);
      if (first.size() <= i) first.push_back(found);
      expect(same(found.data(), first[i].data(), outputs[i]->size()), what + ": output " + std::to_string(i) + " of a run " + how + " has other bits");
    }
  };
  for (int run = 0; run < (is_reduced() ? 2 : 8); ++run) {
    launch();
    compare("launched");
  }
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t recorded = nullptr;
  const cudaError_t capturing = cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal);
  if (capturing == cudaErrorNotSupported) return;  // an emulated GPU has nothing to record, nor streams
  expect_success(capturing, what);
  launch();
  expect_success(cudaStreamEndCapture(stream, &graph), what);
  expect_success(cudaGraphInstantiate(&recorded, graph, 0), what);
  for (const OnDevice<BFloat16>* output : {&y, &dq, &dk, &dv}) cudaMemset(output->data(), 0, static_cast<size_t>(output->size()) * sizeof(BFloat16));
  for (int run = 0; run < 5; ++run) expect_success(cudaGraphLaunch(recorded, stream), what);
  compare("replayed");
  cudaGraphExecDestroy(recorded);
  cudaGraphDestroy(graph);
  cudaStreamDestroy(stream);
}

}  // namespace

HALO_CHECK(cuda_attention_by_cudnn_bfloat16_as_the_cpu, Memory::kShared) { check_all<BFloat16>(); }
HALO_CHECK(cuda_attention_by_cudnn_float16_as_the_cpu, Memory::kShared) { check_all<Float16>(); }
HALO_CHECK(cuda_attention_by_cudnn_again) { check_reruns(); }

HALO_CHECK(cuda_attention_by_cudnn_refuses) {
  const AttentionSizes sizes{1, 2, 1, 64, 64, 64};
  AttentionSizes odd = sizes, wide = sizes, many = sizes;
  odd.dim = 12, wide.dim = 264, many.queries = many.keys = int64_t{1} << 16;
  const int64_t documents = 0;
  expect(check_attention_cudnn(DType::kBFloat16, {}, sizes).ok(), "plain sizes");
  expect(!check_attention_cudnn(DType::kFloat, {}, sizes).ok(), "float32");
  expect(!check_attention_cudnn(DType::kBFloat16, {nullptr, &documents, true}, sizes).ok(), "documents");
  expect(!check_attention_cudnn(DType::kBFloat16, {}, in_bshd(AttentionSizes{1, 512, 512, 1 << 15, 1 << 15, 128})).ok(), "a row of 2^31 elements");
  expect(check_attention_cudnn(DType::kBFloat16, {}, AttentionSizes{1, 512, 512, 1 << 15, 1 << 15, 128}).ok(), "the same by head");
  for (const AttentionSizes& s : {odd, wide, many}) expect(!check_attention_cudnn(DType::kBFloat16, {}, s).ok(), "sizes it does not take");
}

}  // namespace halo::check::attention
