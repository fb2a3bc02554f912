// The gradient of attention by cuDNN, under the masks of com.halo.AttentionGrad.
#pragma once

#include "ops/attention/attention_cudnn.h"
#include "ops/attention_grad/attention_grad.h"

namespace halo {

/// Bytes of workspace for attention_grad_cudnn, after making the plan; `buffers` says which gradients are asked for.
Status attention_grad_cudnn_workspace(cuda::CudnnAttention& cudnn, DType type, const AttentionGradBuffers& buffers, const AttentionMask& mask,
                                      const AttentionSizes& sizes, int64_t* bytes);

/// As attention_grad_cuda, for what check_attention_cudnn takes, with masks as attention_cudnn has them. The same inputs give the same bits.
Status attention_grad_cudnn(cuda::CudnnAttention& cudnn, DType type, const AttentionGradBuffers& buffers, const AttentionMask& mask,
                            const AttentionSizes& sizes, float scale, void* workspace, cudaStream_t stream);

}  // namespace halo
