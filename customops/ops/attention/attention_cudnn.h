// Attention by cuDNN, under the masks of com.halo.Attention.
#pragma once

#include "ops/attention/attention.h"
#include "ops/attention/attention_rows.h"
#include "provider/cudnn/cudnn_attention.h"

namespace halo {

/// Whether cuDNN's kernels take an attention on sizes like these, or what they would take in its place.
Status check_attention_cudnn(DType type, const AttentionMask& mask, const AttentionSizes& sizes);

/// Bytes of workspace for attention_cudnn, after making the plan; has_sums: whether log_sum_exp is asked for.
Status attention_cudnn_workspace(cuda::CudnnAttention& cudnn, DType type, const AttentionMask& mask, const AttentionSizes& sizes, bool has_sums,
                                 int64_t* bytes);

/// As attention_cuda, for what check_attention_cudnn takes; log_sum_exp may be null. A mask is read on the device: rows whose visible keys are their first ones
/// go to cuDNN as lengths; rows of any other form are computed once more, by attention_cuda, whose blocks for the others end at once.
Status attention_cudnn(cuda::CudnnAttention& cudnn, DType type, const void* q, const void* k, const void* v, const AttentionMask& mask, void* y,
                       float* log_sum_exp, const AttentionSizes& sizes, float scale, void* workspace, cudaStream_t stream);

}  // namespace halo
