// Whose kernels run a node of com.halo's attention.
#pragma once

#include <initializer_list>

#include "ops/attention/attention_cudnn.h"
#include "provider/bindings/op_row.h"

namespace halo::cuda {

/// By the session's setting: halo is ours; cudnn is cuDNN's, and an error where it does not take the node; auto is cuDNN's where it is there and takes the
/// node. The choice is noted, for the log of a run.
Status choose_attention(const OpLaunch& launch, DType type, const AttentionMask& mask, const AttentionSizes& sizes, std::initializer_list<const void*> tensors,
                        bool* is_by_cudnn);

}  // namespace halo::cuda
