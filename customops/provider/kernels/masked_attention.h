// Attention with what ONNX and caches ask beyond com.halo's: a mask for each score, and fewer queries than keys.
#pragma once

#include "common/visibility.h"
#include "provider/kernels/tensor.h"

namespace halo::cuda {

/// What hides a key from a query, or is added to its score.
struct ScoreMask {
  const void* values = nullptr;  // broadcast to (B, H, T, S): bool, where false hides, or of the type of q, added; null: none
  bool is_bool = false;
  int64_t strides[4] = {};  // in elements, 0 where broadcast
  bool causal = false;      // query t sees the keys up to past + t
  int64_t window = 0;       // of those the last `window`; 0: all
  const int64_t* past = nullptr;
  int64_t past_step = 0;  // past[b past_step] keys lie before the first query of batch row b; null: none
};

/// y (B, H, T, E) = softmax(scale q k^T under the mask) v; q (B, H, T, D), k (B, G, S, D), v (B, G, S, E), E = value_dim. Scores, sums and probabilities in
/// float32, a tile of them at a time with a running maximum [Dao 2023]. A hidden score is the lowest number, so that a query that sees nothing has the mean of
/// all values, as in ONNX. Keys behind those that a causal tile of queries sees are not read. Heads of up to 256 channels, B G at most
/// 65535; float, bfloat16 and float16.
Status masked_attention(DType type, const void* q, const void* k, const void* v, const ScoreMask& mask, void* y, const AttentionSizes& sizes, int64_t value_dim,
                        float scale, cudaStream_t stream);

}  // namespace halo::cuda
