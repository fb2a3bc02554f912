// Grouped-query attention with causal, padding and document masks.
#pragma once

#include <cstdint>

#include "common/executor.h"
#include "common/products.h"
#include "common/visibility.h"

#ifdef HALO_CUDA
#include "provider/kernels/tensor.h"
#endif

namespace halo {

/// Scores held at a time: 64 MiB of them.
inline constexpr int64_t kScoreBound = int64_t{16} << 20;

/// Floats of work memory that attention_cpu<T> needs. `bound`: floats that scores may take, unless those of one pair take more.
template <class T>
int64_t attention_work(const AttentionSizes& sizes, bool has_documents, int64_t bound = kScoreBound);

/// q, y: (B, H, T, D), k, v: (B, G, S, D), log_sum_exp: (B, H, T); y or log_sum_exp may be null. y = softmax(scale q k^T over the visible keys) v.
/// Two products for some pairs of batch row and key/value head at a time, and a softmax in place between them, whose tasks have whole rows: three
/// reads and two writes of the visible prefix from the first-level cache, bound by the exponentials. Documents that are runs of tokens are attentions of their
/// own, one after the other; with others in turns, all scores of the row are computed.
template <class T>
void attention_cpu(const T* q, const T* k, const T* v, const AttentionMask& mask, T* y, float* log_sum_exp, const AttentionSizes& sizes, float scale,
                   float* work, const Products& products, const Executor& executor, int64_t bound = kScoreBound);

#ifdef HALO_CUDA
/// As attention_cpu, with the scores of a tile of queries and keys at a time and a running maximum [Dao 2023]. 16-bit types with D up to 128 are multiplied by
/// the matrix units, with float32 sums and probabilities rounded to the type; the others by plain float32 arithmetic. y or log_sum_exp may be null.
/// A NaN in a hidden value reaches the queries whose tile has it, or none. Heads of 1 to 256 channels; B H is at most 65535.
/// only_rows (B): batch rows with a 0 there are left alone; null: all are computed.
Status attention_cuda(DType type, const void* q, const void* k, const void* v, const AttentionMask& mask, void* y, float* log_sum_exp,
                      const AttentionSizes& sizes, float scale, const int32_t* only_rows, cudaStream_t stream);
#endif

}  // namespace halo
