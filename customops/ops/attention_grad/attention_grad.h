// The gradient of grouped-query attention, with the probabilities computed again. [Dao 2023, Algorithm 2]
#pragma once

#include <cstdint>

#include "common/executor.h"
#include "common/products.h"
#include "common/visibility.h"
#include "ops/attention/attention.h"

#ifdef HALO_CUDA
#include "provider/kernels/tensor.h"
#endif

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
int64_t attention_grad_work(const AttentionSizes& sizes, bool has_documents, int64_t bound = kScoreBound);

/// P = exp(scale q k^T - log_sum_exp) over the visible keys, dP = dy v^T, dS = P (dP - rowsum(dy y)); dq = scale dS k, dk = scale dS^T q, dv = P^T dy.
/// Five products for some pairs at a time, and one pass over P and dS between them, whose tasks have whole rows: it reads and writes the visible
/// prefix of both once, bound by memory and the exponentials. Documents as attention_cpu.
template <class T>
void attention_grad_cpu(const AttentionGradInputs<T>& in, const AttentionMask& mask, const AttentionGradOutputs<T>& out, const AttentionSizes& sizes,
                        float scale, float* work, const Products& products, const Executor& executor, int64_t bound = kScoreBound);

#ifdef HALO_CUDA
struct AttentionGradBuffers {
  const void *dy, *q, *k, *v, *y;  // as AttentionGradInputs
  const float* log_sum_exp;
  void *dq, *dk, *dv;  // each may be null
};

/// Bytes of workspace for attention_grad_cuda: rowsum(dY Y).
int64_t attention_grad_workspace_cuda(const AttentionSizes& sizes);

/// As attention_grad_cpu with tiles, limits and only_rows as attention_cuda; no atomic additions, so that the same inputs give the same bits.
Status attention_grad_cuda(DType type, const AttentionGradBuffers& buffers, const AttentionMask& mask, const AttentionSizes& sizes, float scale,
                           const int32_t* only_rows, void* workspace, cudaStream_t stream);
#endif

}  // namespace halo
