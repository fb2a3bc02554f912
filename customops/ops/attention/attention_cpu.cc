#include "ops/attention/attention.h"

#include <cmath>

#include "common/reductions.h"
#include "common/vector_math.h"
#include "ops/attention/attention_documents.h"

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

/// Floats of float32 copies for a pair.
template <class T>
int64_t converted(const AttentionSizes& sizes) {
  return is_copied<T>(sizes.layout) ? 2 * (sizes.rows() + sizes.keys) * sizes.dim : 0;
}

/// Of rows that are one document each, or whose documents are no runs.
template <class T>
void attention_of_rows(const T* q, const T* k, const T* v, const AttentionMask& mask, T* y, float* log_sum_exp, const AttentionSizes& sizes, float scale,
                       float* work, const Products& products, const Executor& executor, int64_t bound) {
  const Visibility visibility(mask, sizes);
  const HeadRows by_query = query_rows(sizes), by_key = key_rows(sizes);
  const int64_t rows = sizes.rows(), keys = sizes.keys, dim = sizes.dim, shared = sizes.heads / sizes.groups, step = sizes.pairs_at_once(1, bound);
  for (int64_t first = 0; first < sizes.pairs(); first += step) {
    const int64_t n = std::min(step, sizes.pairs() - first);
    float* scores = work;
    float* rest = scores + n * rows * keys;
    const float* q_values = widen(q, by_query, first * shared, n * shared, rest, executor);
    const float* k_values = widen(k, by_key, first, n, rest, executor);
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
    const float* v_values = widen(v, by_key, first, n, rest, executor);
    narrow(y, by_query, first * shared, n * shared, rest, executor,
           [&](float* out) { products.multiply(false, false, 1.0f, n, rows, dim, keys, scores, v_values, out); });
  }
}

}  // namespace

template <class T>
int64_t attention_work(const AttentionSizes& sizes, bool has_documents, int64_t bound) {
  if (!has_documents) return sizes.pairs_at_once(1, bound) * (sizes.rows() * sizes.keys + converted<T>(sizes));
  const int64_t queries = sizes.heads * sizes.queries, keys = sizes.groups * sizes.keys;
  return most_scores(sizes, 1, bound) + sizes.groups * converted<T>(sizes) + 2 * floats_of<T>(queries * sizes.dim) + 2 * floats_of<T>(keys * sizes.dim) +
         queries;
}

template <class T>
void attention_cpu(const T* q, const T* k, const T* v, const AttentionMask& mask, T* y, float* log_sum_exp, const AttentionSizes& sizes, float scale,
                   float* work, const Products& products, const Executor& executor, int64_t bound) {
  if (mask.documents == nullptr) return attention_of_rows(q, k, v, mask, y, log_sum_exp, sizes, scale, work, products, executor, bound);
  const HeadRows by_query = query_rows(sizes), by_key = key_rows(sizes), sums = sum_rows(sizes);
  const int64_t heads = sizes.heads, tokens = sizes.keys, dim = sizes.dim, row_of_queries = heads * tokens * dim, row_of_keys = sizes.groups * tokens * dim;
  const auto at = [](auto* x, int64_t offset) { return x == nullptr ? x : x + offset; };
  const auto row_of_y = [&](int64_t row) { return at(y, row * row_of_queries); };
  const auto row_of_sums = [&](int64_t row) { return at(log_sum_exp, row * heads * tokens); };
  by_documents(
      mask, sizes,
      [&](int64_t row, const AttentionMask& own, const DocumentRun& run) {
        float* rest = work;
        const T* q_run = gather_run(q + row * row_of_queries, by_query, run, rest);
        const T* k_run = gather_run(k + row * row_of_keys, by_key, run, rest);
        const T* v_run = gather_run(v + row * row_of_keys, by_key, run, rest);
        T* y_run = take(y, heads * run.count * dim, rest);
        float* sums_run = take(log_sum_exp, heads * run.count, rest);
        attention_of_rows(q_run, k_run, v_run, own, y_run, sums_run, of_run(sizes, run), scale, rest, products, executor, bound);
        if (y != nullptr) scatter_run(y_run, by_query, run, row_of_y(row));
        if (log_sum_exp != nullptr) scatter_run(sums_run, sums, run, row_of_sums(row));
      },
      [&](int64_t row, const DocumentRun& run) {
        if (y != nullptr) fill_run(row_of_y(row), by_query, run, from_float<T>(0.0f));
        if (log_sum_exp != nullptr) fill_run(row_of_sums(row), sums, run, -kInfinity);
      },
      [&](int64_t row, const AttentionMask& own) {
        attention_of_rows(q + row * row_of_queries, k + row * row_of_keys, v + row * row_of_keys, own, row_of_y(row), row_of_sums(row), of_one_row(sizes),
                          scale, work, products, executor, bound);
      });
}

#define HALO_INSTANTIATE(T)                                                                                                                          \
  template int64_t attention_work<T>(const AttentionSizes&, bool, int64_t);                                                                          \
  template void attention_cpu(const T*, const T*, const T*, const AttentionMask&, T*, float*, const AttentionSizes&, float, float*, const Products&, \
                              const Executor&, int64_t)
HALO_INSTANTIATE(float);
HALO_INSTANTIATE(BFloat16);
HALO_INSTANTIATE(Float16);
#undef HALO_INSTANTIATE

}  // namespace halo
