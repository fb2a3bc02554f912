// Sizes, masks and tensors that attention and its gradient are timed at: without a mask, with one that shows every key (what a full batch has), and with
// documents.
#pragma once

#include "ops/attention/attention.h"
#include "provider/benchmarks/bench.h"

namespace halo::cuda::bench {

struct AttentionForm {
  const char* name;
  AttentionMask mask;
  double share;  // of the scores
};

template <class T>
struct AttentionTensors {
  AttentionTensors(const AttentionSizes& s, bool has_documents)
      : sizes(s),
        q(queries()),
        k(keys()),
        v(keys()),
        y(queries()),
        sums(s.batch * s.heads * s.queries),
        ones(std::vector<int64_t>(static_cast<size_t>(s.batch * s.keys), 1)),
        documents(four_documents()) {
    for (Array<T>* tensor : {&q, &k, &v}) fill_normal(*tensor);
    forms = {{"", {nullptr, nullptr, true}, 1}, {", mask", {ones.data(), nullptr, true}, 1}};
    if (has_documents) forms.push_back({", 4 documents", {ones.data(), documents.data(), true}, 0.25});
  }

  int64_t queries() const { return sizes.batch * sizes.heads * sizes.queries * sizes.dim; }
  int64_t keys() const { return sizes.pairs() * sizes.keys * sizes.dim; }
  std::string shape() const { return shape_of({sizes.batch, sizes.heads, sizes.queries, sizes.dim}) + ", " + std::to_string(sizes.groups) + " groups"; }

  /// `products` of queries and keys, each half a square of scores, since a query sees no later key.
  Work work(const Bench& bench, double products, const AttentionForm& form) const {
    const double product = 2.0 * static_cast<double>(sizes.batch * sizes.heads * sizes.queries) * static_cast<double>(sizes.keys * sizes.dim) / 2;
    return {.operations = products * product * form.share, .ceiling = std::is_same_v<T, float> ? bench.ceilings.single : bench.ceilings.bfloat16};
  }

  Status forward(const AttentionForm& form) const {
    return attention_cuda(dtype_of<T>(), q.data(), k.data(), v.data(), form.mask, y.data(), sums.data(), sizes, kScale, nullptr, nullptr);
  }

  static constexpr float kScale = 0.088f;
  const AttentionSizes sizes;
  Array<T> q, k, v, y;
  Array<float> sums;
  Array<int64_t> ones, documents;
  std::vector<AttentionForm> forms;

 private:
  std::vector<int64_t> four_documents() const {
    std::vector<int64_t> numbers;
    for (int64_t i = 0; i < sizes.batch * sizes.queries; ++i) numbers.push_back(i % sizes.queries * 4 / sizes.queries);
    return numbers;
  }
};

#ifdef HALO_CUDA_EMULATED
inline constexpr int64_t kShortBatch = 1;
#else
inline constexpr int64_t kShortBatch = 32;  // of rows of a quarter of the tokens
#endif

/// Calls f(tensors) for the sizes of each type.
template <class F>
void for_attentions(F&& f) {
  for_types([&]<class T>() {
    f(AttentionTensors<T>({kBatch, kHeads, kGroups, kTokens, kTokens, kDim}, true));
    if (!std::is_same_v<T, float>) f(AttentionTensors<T>({kShortBatch, kHeads, kGroups, kTokens / 4, kTokens / 4, kDim}, false));
  });
}

}  // namespace halo::cuda::bench
