// The gradient of grouped-query attention, with the probabilities computed again. [Dao 2023, Algorithm 2]
#pragma once

#include <cstdint>

#include "common/executor.h"
#include "common/products.h"
#include "common/visibility.h"
#include "ops/attention/attention.h"

namespace halo {

template <class T>
struct AttentionGradInputs {
  const T *dy, *q, *k, *v, *y;  // dy, q, y: (B, H, T, D); k, v: (B, G, S, D)
  const float* log_sum_exp;     // (B, H, T)
};

/// Of the shapes of q, k and v; each may be null.
template <class T>
struct AttentionGradOutputs {
  T *dq, *dk, *dv;
};

/// Floats of work memory that attention_grad_cpu<T> needs; `bound` as for attention_cpu.
template <class T>
int64_t attention_grad_work(const AttentionSizes& sizes, int64_t bound = kScoreBound);

/// P = exp(scale q k^T - log_sum_exp) over the visible keys, dP = dy v^T, dS = P (dP - rowsum(dy y)); dq = scale dS k, dk = scale dS^T q, dv = P^T dy.
/// Five products for some pairs at a time, and one pass over P and dS between them, whose tasks have whole rows: it reads and writes the visible
/// prefix of both once, bound by memory and the exponentials.
template <class T>
void attention_grad_cpu(const AttentionGradInputs<T>& in, const AttentionMask& mask, const AttentionGradOutputs<T>& out, const AttentionSizes& sizes,
                        float scale, float* work, const Products& products, const Executor& executor, int64_t bound = kScoreBound);

}  // namespace halo
