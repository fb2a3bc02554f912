// Attention of one new token a row over a cache that it is appended to: a step of decoding.
#pragma once

#include "provider/kernels/heads.h"

namespace halo::cuda {

struct CachedSizes {
  int64_t batch, heads, groups, slots, dim;  // B, H, G, S, D: queries and key/value heads, tokens that the cache has room for
  int64_t pairs() const { return batch * groups; }
};

/// The new token of each row and where its tensors go. q (B, H D), k and v (B, G D), rows `row` elements apart; y_q (B, H, D) is q turned, keys and values
/// (B, G, S, D) get k turned and v at slot seqlens_k[b]. A slot outside the cache is left out.
struct NewToken {
  const void *q, *k, *v;
  int64_t q_row, k_row;
  void *turned_q, *keys, *values;
};

/// Without positions in `rotation` a token's is its slot.
Status append_token(DType type, const NewToken& token, const int32_t* seqlens_k, const Rotation& rotation, const CachedSizes& sizes, cudaStream_t stream);

/// Bytes of work memory of attend_token.
int64_t attend_token_workspace(const CachedSizes& sizes);

/// Whether attend_token takes them: heads of at most 256 channels, and no more queries a key/value head than have their scores in a block's shared memory.
bool attend_token_supports(const CachedSizes& sizes);

/// y (B, H, D) = softmax(scale q k^T) v over tokens [0, seqlens_k[b]] of the caches (B, G, S, D), of those the last `window` (0: all). In float32; pieces of
/// the cache by a block each, put together in order.
Status attend_token(DType type, const void* q, const void* keys, const void* values, const int32_t* seqlens_k, int64_t window, void* y,
                    const CachedSizes& sizes, float scale, void* workspace, cudaStream_t stream);

}  // namespace halo::cuda
