#include "ops/attention_grad/attention_grad.h"

#include "common/reductions.h"
#include "common/vector_math.h"
#include "ops/attention/attention_documents.h"

namespace halo {

namespace {

/// p: scores that become probabilities; ds: the gradient of the probabilities that becomes that of the scores.
void gradient_row(float* __restrict p, float* __restrict ds, int64_t count, float log_sum, float delta) {
  for (int64_t j = 0; j < count; ++j) {
    const float probability = fast_exp(p[j] - log_sum);
    p[j] = probability;
    ds[j] = probability * (ds[j] - delta);
  }
}

/// The same, with 0 for keys of another code: log_sum is -Inf where there are only those.
void gradient_row(float* __restrict p, float* __restrict ds, int64_t count, float log_sum, float delta, const int32_t* __restrict codes, int32_t code) {
  for (int64_t j = 0; j < count; ++j) {
    const float probability = fast_exp(p[j] - log_sum), gradient = probability * (ds[j] - delta);
    p[j] = codes[j] == code ? probability : 0.0f;
    ds[j] = codes[j] == code ? gradient : 0.0f;
  }
}

/// Floats of float32 copies for a pair.
template <class T>
int64_t gradient_copies(const AttentionSizes& sizes) {
  return is_copied<T>(sizes.layout) ? (2 * (sizes.rows() + sizes.keys) + std::max(sizes.rows(), sizes.keys)) * sizes.dim : 0;
}

/// Of rows that are one document each, or whose documents are no runs.
template <class T>
void gradient_of_rows(const AttentionGradInputs<T>& in, const AttentionMask& mask, const AttentionGradOutputs<T>& out, const AttentionSizes& sizes, float scale,
                      float* work, const Products& products, const Executor& executor, int64_t bound) {
  const Visibility visibility(mask, sizes);
  const HeadRows by_query = query_rows(sizes), by_key = key_rows(sizes);
  const int64_t rows = sizes.rows(), keys = sizes.keys, dim = sizes.dim, shared = sizes.heads / sizes.groups, step = sizes.pairs_at_once(2, bound);
  for (int64_t first = 0; first < sizes.pairs(); first += step) {
    const int64_t n = std::min(step, sizes.pairs() - first), first_head = first * shared, heads = n * shared;
    float* p = work;
    float* ds = p + n * rows * keys;
    float* rest = ds + n * rows * keys;
    const float* q = widen(in.q, by_query, first_head, heads, rest, executor);
    const float* k = widen(in.k, by_key, first, n, rest, executor);
    const float* v = widen(in.v, by_key, first, n, rest, executor);
    const float* dy = widen(in.dy, by_query, first_head, heads, rest, executor);
    const float* log_sum_exp = in.log_sum_exp + first * rows;
    products.multiply(false, true, scale, n, rows, keys, dim, q, k, p);
    products.multiply(false, true, 1.0f, n, rows, keys, dim, dy, v, ds);
    executor.parallel_for(n * rows, rows_per_task(keys), [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row) {
        const int64_t batch = (first + row / rows) / sizes.groups, query = row % sizes.queries, from = visibility.first(query);
        const int64_t prefix = visibility.prefix(query), count = prefix - from;
        float *own_p = p + row * keys, *own_ds = ds + row * keys;
        const auto* dy_row = dy + row * dim;
        const T* y_row = in.y + by_query.offset(first_head + row / sizes.queries, query);
        const auto delta = static_cast<float>(sum_of(dim, [dy_row, y_row](int64_t d) { return dy_row[d] * to_float(y_row[d]); }));
        if (visibility.has_codes()) {
          gradient_row(own_p + from, own_ds + from, count, log_sum_exp[row], delta, visibility.key_codes(batch) + from, visibility.query_code(batch, query));
        } else {
          gradient_row(own_p + from, own_ds + from, count, log_sum_exp[row], delta);
        }
        for (float* own : {own_p, own_ds}) {
          std::fill(own, own + from, 0.0f);
          std::fill(own + prefix, own + keys, 0.0f);
        }
      }
    });
    if (out.dv != nullptr) {
      narrow(out.dv, by_key, first, n, rest, executor, [&](float* dv) { products.multiply(true, false, 1.0f, n, keys, dim, rows, p, dy, dv); });
    }
    if (out.dq != nullptr) {
      narrow(out.dq, by_query, first_head, heads, rest, executor, [&](float* dq) { products.multiply(false, false, scale, n, rows, dim, keys, ds, k, dq); });
    }
    if (out.dk != nullptr) {
      narrow(out.dk, by_key, first, n, rest, executor, [&](float* dk) { products.multiply(true, false, scale, n, keys, dim, rows, ds, q, dk); });
    }
  }
}

}  // namespace

template <class T>
int64_t attention_grad_work(const AttentionSizes& sizes, bool has_documents, int64_t bound) {
  if (!has_documents) return sizes.pairs_at_once(2, bound) * (2 * sizes.rows() * sizes.keys + gradient_copies<T>(sizes));
  const int64_t queries = sizes.heads * sizes.queries, keys = sizes.groups * sizes.keys;
  return most_scores(sizes, 2, bound) + sizes.groups * gradient_copies<T>(sizes) + 4 * floats_of<T>(queries * sizes.dim) + 4 * floats_of<T>(keys * sizes.dim) +
         queries;
}

template <class T>
void attention_grad_cpu(const AttentionGradInputs<T>& in, const AttentionMask& mask, const AttentionGradOutputs<T>& out, const AttentionSizes& sizes,
                        float scale, float* work, const Products& products, const Executor& executor, int64_t bound) {
  if (mask.documents == nullptr) return gradient_of_rows(in, mask, out, sizes, scale, work, products, executor, bound);
  const HeadRows by_query = query_rows(sizes), by_key = key_rows(sizes);
  const int64_t heads = sizes.heads, groups = sizes.groups, tokens = sizes.keys, dim = sizes.dim;
  const int64_t row_of_queries = heads * tokens * dim, row_of_keys = groups * tokens * dim;
  const auto results_of = [&](int64_t row) {
    const auto at = [](T* x, int64_t offset) { return x == nullptr ? nullptr : x + offset; };
    return AttentionGradOutputs<T>{at(out.dq, row * row_of_queries), at(out.dk, row * row_of_keys), at(out.dv, row * row_of_keys)};
  };
  by_documents(
      mask, sizes,
      [&](int64_t row, const AttentionMask& own, const DocumentRun& run) {
        float* rest = work;
        const auto of_queries = [&](const T* x) { return gather_run(x + row * row_of_queries, by_query, run, rest); };
        const auto of_keys = [&](const T* x) { return gather_run(x + row * row_of_keys, by_key, run, rest); };
        AttentionGradInputs<T> run_in;
        run_in.dy = of_queries(in.dy), run_in.q = of_queries(in.q), run_in.k = of_keys(in.k), run_in.v = of_keys(in.v), run_in.y = of_queries(in.y);
        run_in.log_sum_exp = gather_run(in.log_sum_exp + row * heads * tokens, sum_rows(sizes), run, rest);
        AttentionGradOutputs<T> run_out;
        run_out.dq = take(out.dq, heads * run.count * dim, rest);
        run_out.dk = take(out.dk, groups * run.count * dim, rest);
        run_out.dv = take(out.dv, groups * run.count * dim, rest);
        gradient_of_rows(run_in, own, run_out, of_run(sizes, run), scale, rest, products, executor, bound);
        const AttentionGradOutputs<T> results = results_of(row);
        if (out.dq != nullptr) scatter_run(run_out.dq, by_query, run, results.dq);
        if (out.dk != nullptr) scatter_run(run_out.dk, by_key, run, results.dk);
        if (out.dv != nullptr) scatter_run(run_out.dv, by_key, run, results.dv);
      },
      [&](int64_t row, const DocumentRun& run) {
        const AttentionGradOutputs<T> results = results_of(row);
        const T zero = from_float<T>(0.0f);
        if (out.dq != nullptr) fill_run(results.dq, by_query, run, zero);
        if (out.dk != nullptr) fill_run(results.dk, by_key, run, zero);
        if (out.dv != nullptr) fill_run(results.dv, by_key, run, zero);
      },
      [&](int64_t row, const AttentionMask& own) {
        const AttentionGradInputs<T> row_in{in.dy + row * row_of_queries, in.q + row * row_of_queries, in.k + row * row_of_keys,
                                            in.v + row * row_of_keys,     in.y + row * row_of_queries, in.log_sum_exp + row * heads * tokens};
        gradient_of_rows(row_in, own, results_of(row), of_one_row(sizes), scale, work, products, executor, bound);
      });
}

#define HALO_INSTANTIATE(T)                                                                                                                                   \
  template int64_t attention_grad_work<T>(const AttentionSizes&, bool, int64_t);                                                                              \
  template void attention_grad_cpu(const AttentionGradInputs<T>&, const AttentionMask&, const AttentionGradOutputs<T>&, const AttentionSizes&, float, float*, \
                                   const Products&, const Executor&, int64_t)
HALO_INSTANTIATE(float);
HALO_INSTANTIATE(BFloat16);
HALO_INSTANTIATE(Float16);
#undef HALO_INSTANTIATE

}  // namespace halo
