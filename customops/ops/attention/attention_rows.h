// Padding masks as numbers of keys: what kernels take that know lengths, not masks.
#pragma once

#include "common/status.h"
#include "common/visibility.h"
#include "provider/kernels/tensor.h"

namespace halo {

/// On the device, (B) each.
struct AttentionRows {
  int32_t* query_lengths;  // T
  int32_t* key_lengths;    // the keys of the batch row that are visible where they are its first ones, at least one; else S
  int32_t* others;         // 1 where they are not: another kernel has to compute the row; else 0
};

/// From a mask (B, S), or from none: then every key is visible. A block has a batch row and reads it once.
Status attention_rows_cuda(const int64_t* mask, const AttentionSizes& sizes, const AttentionRows& rows, cudaStream_t stream);

}  // namespace halo
