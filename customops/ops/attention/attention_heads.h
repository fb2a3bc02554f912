// Heads of an attention's tensors on the CPU, whose products want each head's rows one behind the other.
#pragma once

#include <algorithm>
#include <cstdint>

#include "common/conversions.h"
#include "common/visibility.h"

namespace halo {

/// The heads of a tensor: (batch, heads, tokens, dim) in a layout.
struct HeadRows {
  HeadLayout layout;
  int64_t heads, tokens, dim;

  bool is_by_head() const { return layout == HeadLayout::kBhsd; }

  /// Of the row of channels of a token, in elements; heads are counted over the batch.
  int64_t offset(int64_t head, int64_t token) const {
    const HeadStrides strides = head_strides(layout, heads, tokens, dim);
    return head / heads * strides.batch + head % heads * strides.head + token * strides.token;
  }
};

inline HeadRows query_rows(const AttentionSizes& s) { return {s.layout, s.heads, s.queries, s.dim}; }
inline HeadRows key_rows(const AttentionSizes& s) { return {s.layout, s.groups, s.keys, s.dim}; }

/// Whether heads are copied on their way to float32 products and back.
template <class T>
constexpr bool is_copied(HeadLayout layout) {
  return !std::is_same_v<T, float> || layout != HeadLayout::kBhsd;
}

/// Calls f(row of heads by head, offset of that row in x), over `count` heads from `first` on; a task has whole rows.
template <class F>
void for_rows(const HeadRows& x, int64_t first, int64_t count, const Executor& executor, F&& f) {
  executor.parallel_for(count * x.tokens, rows_per_task(x.dim), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) f(row, x.offset(first + row / x.tokens, row % x.tokens));
  });
}

/// Heads [first, first + count) as float32 (count, tokens, dim): x itself where they lie so, or at `work`, which moves behind them.
template <class T>
const float* widen(const T* x, const HeadRows& heads, int64_t first, int64_t count, float*& work, const Executor& executor) {
  if (heads.is_by_head()) return widen(x + heads.offset(first, 0), count * heads.tokens * heads.dim, work, executor);
  float* values = work;
  work += count * heads.tokens * heads.dim;
  for_rows(heads, first, count, executor, [&](int64_t row, int64_t offset) {
    for (int64_t d = 0; d < heads.dim; ++d) values[row * heads.dim + d] = to_float(x[offset + d]);
  });
  return values;
}

/// Calls compute(float*) for heads [first, first + count) as (count, tokens, dim): with y itself where they lie so, or with `work`, from where they are
/// rounded.
template <class T, class F>
void narrow(T* y, const HeadRows& heads, int64_t first, int64_t count, float* work, const Executor& executor, F&& compute) {
  if (heads.is_by_head()) return narrow(y + heads.offset(first, 0), count * heads.tokens * heads.dim, work, executor, compute);
  compute(work);
  for_rows(heads, first, count, executor, [&](int64_t row, int64_t offset) {
    for (int64_t d = 0; d < heads.dim; ++d) y[offset + d] = from_float<T>(work[row * heads.dim + d]);
  });
}

}  // namespace halo
