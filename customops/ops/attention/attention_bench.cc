// Attention and its gradient, by our kernels and by cuDNN: without a mask, with one that shows every key (what a full batch has), and with documents.
#include "ops/attention/attention_cudnn.h"
#include "ops/attention_grad/attention_grad_cudnn.h"
#include "provider/benchmarks/bench.h"

namespace halo::cuda::bench {

namespace {

template <class T>
void time_sizes(Bench& bench, const AttentionSizes& s, bool has_documents) {
  constexpr DType kType = dtype_of<T>();
  const int64_t queries = s.batch * s.heads * s.queries * s.dim, keys = s.pairs() * s.keys * s.dim;
  Array<T> q(queries), k(keys), v(keys), dy(queries);
  const Array<T> y(queries), dq(queries), dk(keys), dv(keys);
  for (Array<T>* tensor : {&q, &k, &v, &dy}) fill_normal(*tensor);
  const Array<float> sums(s.batch * s.heads * s.queries);
  const Array<int64_t> ones(std::vector<int64_t>(static_cast<size_t>(s.batch * s.keys), 1));
  std::vector<int64_t> numbers;  // four documents a row
  for (int64_t i = 0; i < s.batch * s.queries; ++i) numbers.push_back(i % s.queries * 4 / s.queries);
  const Array<int64_t> documents(numbers);
  const std::string type = name_of(kType), shape = shape_of({s.batch, s.heads, s.queries, s.dim}) + ", " + std::to_string(s.groups) + " groups";
  const float scale = 0.088f;
  const double ceiling = std::is_same_v<T, float> ? bench.ceilings.single : bench.ceilings.bfloat16;
  // One product of queries and keys: half a square of scores, since a query sees no later key. Two of them forward, five backward.
  const double product = 2.0 * static_cast<double>(s.batch * s.heads * s.queries) * static_cast<double>(s.keys * s.dim) / 2;
  const AttentionGradBuffers buffers{dy.data(), q.data(), k.data(), v.data(), y.data(), sums.data(), dq.data(), dk.data(), dv.data()};
  const Array<uint8_t> own_workspace(attention_grad_workspace_cuda(s));
  struct Form {
    const char* name;
    AttentionMask mask;
    double share;  // of the scores
  };
  std::vector<Form> forms = {{"", {nullptr, nullptr, true}, 1}, {", mask", {ones.data(), nullptr, true}, 1}};
  if (has_documents) forms.push_back({", 4 documents", {ones.data(), documents.data(), true}, 0.25});
  for (const Form& form : forms) {
    const Work forward_work{.operations = 2 * product * form.share, .ceiling = ceiling},
        gradient_work{.operations = 5 * product * form.share, .ceiling = ceiling};
    const auto forward = [&] { return attention_cuda(kType, q.data(), k.data(), v.data(), form.mask, y.data(), sums.data(), s, scale, nullptr, nullptr); };
    bench.note(forward());  // the gradient wants its results
    bench.time(std::string("attention") + form.name, type, shape, forward_work, forward);
    bench.time(std::string("attention_grad") + form.name, type, shape, gradient_work,
               [&] { return attention_grad_cuda(kType, buffers, form.mask, s, scale, nullptr, own_workspace.data(), nullptr); });
    CudnnAttention& cudnn = bench.attention();
    if (!cudnn.open().ok() || !check_attention_cudnn(kType, form.mask, s).ok()) continue;  // the line of versions says whether cuDNN is there
    int64_t forward_bytes = 0, gradient_bytes = 0;
    bench.note(attention_cudnn_workspace(cudnn, kType, form.mask, s, true, &forward_bytes));
    bench.note(attention_grad_cudnn_workspace(cudnn, kType, buffers, form.mask, s, &gradient_bytes));
    const Array<uint8_t> workspace(std::max(forward_bytes, gradient_bytes));
    bench.time(std::string("attention by cuDNN") + form.name, type, shape, forward_work, [&] {
      return attention_cudnn(cudnn, kType, q.data(), k.data(), v.data(), form.mask, y.data(), sums.data(), s, scale, workspace.data(), nullptr);
    });
    bench.time(std::string("attention_grad by cuDNN") + form.name, type, shape, gradient_work,
               [&] { return attention_grad_cudnn(cudnn, kType, buffers, form.mask, s, scale, workspace.data(), nullptr); });
  }
}

/// Rows of a quarter of the tokens.
#ifdef HALO_CUDA_EMULATED
constexpr int64_t kShortBatch = 1;
#else
constexpr int64_t kShortBatch = 32;
#endif

template <class T>
void time_type(Bench& bench) {
  time_sizes<T>(bench, {kBatch, kHeads, kGroups, kTokens, kTokens, kDim}, true);
  if (!std::is_same_v<T, float>) time_sizes<T>(bench, {kShortBatch, kHeads, kGroups, kTokens / 4, kTokens / 4, kDim}, false);
}

}  // namespace

HALO_BENCH(attention) {
  for_types([&]<class T>() { time_type<T>(bench); });
}

}  // namespace halo::cuda::bench
