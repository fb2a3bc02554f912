#include "ops/attention/attention.h"

#include <cmath>

#include "common/conversions.h"
#include "common/reductions.h"
#include "common/vector_math.h"

namespace halo {

namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

/// Makes hidden scores -Inf; returns how many are not hidden.
int64_t hide(float* scores, int64_t count, const int32_t* codes, int32_t code) {
  int32_t visible = 0;
  for (int64_t j = 0; j < count; ++j) {
    const float score = scores[j];
    visible += codes[j] == code ? 1 : 0;
    scores[j] = codes[j] == code ? score : -kInfinity;
  }
  return visible;
}

/// scores (count) = softmax of them; returns the logarithm of the sum of exponentials. A NaN or +Inf among them makes all of the row NaN.
float softmax_row(float* scores, int64_t count) {
  const float max = max_of(count, [scores](int64_t j) { return scores[j]; });
  for (int64_t j = 0; j < count; ++j) scores[j] = fast_exp(scores[j] - max);
  const auto sum = static_cast<float>(sum_of(count, [scores](int64_t j) { return scores[j]; }));
  const float factor = 1.0f / sum;
  for (int64_t j = 0; j < count; ++j) scores[j] *= factor;
  return max + std::log(sum);
}

}  // namespace

template <class T>
int64_t attention_work(const AttentionSizes& sizes, int64_t bound) {
  const int64_t converted = std::is_same_v<T, float> ? 0 : 2 * (sizes.rows() + sizes.keys) * sizes.dim;
  return sizes.pairs_at_once(1, bound) * (sizes.rows() * sizes.keys + converted);
}

template <class T>
void attention_cpu(const T* q, const T* k, const T* v, const AttentionMask& mask, T* y, float* log_sum_exp, const AttentionSizes& sizes, float scale,
                   float* work, const Products& products, const Executor& executor, int64_t bound) {
  const Visibility visibility(mask, sizes);
  const int64_t rows = sizes.rows(), keys = sizes.keys, dim = sizes.dim, step = sizes.pairs_at_once(1, bound);
  for (int64_t first = 0; first < sizes.pairs(); first += step) {
    const int64_t n = std::min(step, sizes.pairs() - first), query_at = first * rows * dim, key_at = first * keys * dim;
    float* scores = work;
    float* rest = scores + n * rows * keys;
    const float* q_values = widen(q + query_at, n * rows * dim, rest, executor);
    const float* k_values = widen(k + key_at, n * keys * dim, rest, executor);
    products.multiply(false, true, scale, n, rows, keys, dim, q_values, k_values, scores);
    executor.parallel_for(n * rows, rows_per_task(keys), [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row) {
        const int64_t batch = (first + row / rows) / sizes.groups, query = row % sizes.queries, from = visibility.first(query);
        const int64_t count = visibility.prefix(query) - from;
        float *own = scores + row * keys, *seen = own + from;
        const int64_t visible = visibility.has_codes() ? hide(seen, count, visibility.key_codes(batch) + from, visibility.query_code(batch, query)) : count;
        const float log_sum = visible > 0 ? softmax_row(seen, count) : -kInfinity;
        std::fill(own, seen, 0.0f);
        std::fill(seen + (visible > 0 ? count : 0), own + keys, 0.0f);
        if (log_sum_exp != nullptr) log_sum_exp[first * rows + row] = log_sum;
      }
    });
    if (y == nullptr) continue;
    const float* v_values = widen(v + key_at, n * keys * dim, rest, executor);
    narrow(y + query_at, n * rows * dim, rest, executor, [&](float* out) { products.multiply(false, false, 1.0f, n, rows, dim, keys, scores, v_values, out); });
  }
}

#define HALO_INSTANTIATE(T)                                                                                                                          \
  template int64_t attention_work<T>(const AttentionSizes&, int64_t);                                                                                \
  template void attention_cpu(const T*, const T*, const T*, const AttentionMask&, T*, float*, const AttentionSizes&, float, float*, const Products&, \
                              const Executor&, int64_t)
HALO_INSTANTIATE(float);
HALO_INSTANTIATE(BFloat16);
HALO_INSTANTIATE(Float16);
#undef HALO_INSTANTIATE

}  // namespace halo
