// Rows of attention heads brought into another order, turned by rotary angles on the way. [Su et al. 2021, 3.4.2]
#pragma once

#include "common/head_layout.h"
#include "provider/kernels/tensor.h"

namespace halo::cuda {

struct HeadSizes {
  int64_t batch, heads, tokens, dim;  // B, H, T, D
};

struct Rotation {
  const void *cos = nullptr, *sin = nullptr;  // rows of turned/2, of the type of x; null: nothing turns
  int64_t turned = 0;                         // channels that turn, the first ones: even, at most D
  int64_t rows = 0;                           // of the tables
  int64_t batch_rows = 0;                     // without positions token t of batch row b uses row b batch_rows + t
  const int64_t* positions = nullptr;         // (B, T), the row of each token; outside [0, rows) the turned channels become NaN
  bool is_interleaved = false;                // pairs are neighbours, else halves of the turned channels
};

/// y = the rows of x, which y may not overlap. `slots` (B, T): the token of y that each token becomes; a token whose slot is outside
/// [0, slot_count) is left out; null: the same.
Status place_heads(DType type, const void* x, const HeadStrides& x_strides, void* y, const HeadStrides& y_strides, const HeadSizes& sizes,
                   const Rotation& rotation, const int64_t* slots, int64_t slot_count, cudaStream_t stream);

/// slots (B, T) = seqlens_k[b] + 1 - T + t, the tokens that a cache of seqlens_k[b] + 1 tokens ends with; `is_prompt`: t.
Status cache_slots(const int32_t* seqlens_k, int64_t batch, int64_t tokens, bool is_prompt, int64_t* slots, cudaStream_t stream);

}  // namespace halo::cuda
