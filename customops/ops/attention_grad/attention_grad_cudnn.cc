#include "ops/attention_grad/attention_grad_cudnn.h"

#include "provider/pieces.h"

namespace halo {

namespace {

struct GradientLayout {
  int64_t lengths, delta, dq, dk, dv, engine, bytes;
};

/// Before cuDNN 9.15.1 the gradient reads beyond keys that are no multiple of 128, unless it has lengths.
bool has_lengths(const AttentionMask& mask, const AttentionSizes& sizes) { return mask.mask != nullptr || sizes.keys % 128 != 0; }

Status lay_out(cuda::CudnnAttention& cudnn, const cuda::CudnnAttentionShape& shape, const AttentionGradBuffers& b, GradientLayout* layout) {
  const AttentionSizes& s = shape.sizes;
  const int64_t queries = s.batch * s.heads * s.queries, keys = s.pairs() * s.keys * s.dim;
  int64_t engine = 0;
  HALO_RETURN_IF_ERROR(cudnn.workspace(shape, true, &engine));
  cuda::Pieces pieces;
  layout->lengths = pieces.add<int32_t>(shape.has_lengths ? 3 * s.batch : 0);
  layout->delta = pieces.add<float>(queries);
  layout->dq = pieces.add<uint16_t>(b.dq == nullptr ? queries * s.dim : 0);
  layout->dk = pieces.add<uint16_t>(b.dk == nullptr ? keys : 0);
  layout->dv = pieces.add<uint16_t>(b.dv == nullptr ? keys : 0);
  layout->engine = pieces.add<uint8_t>(engine);
  layout->bytes = pieces.bytes();
  return {};
}

}  // namespace

Status attention_grad_cudnn_workspace(cuda::CudnnAttention& cudnn, DType type, const AttentionGradBuffers& buffers, const AttentionMask& mask,
                                      const AttentionSizes& sizes, int64_t* bytes) {
  GradientLayout layout;
  HALO_RETURN_IF_ERROR(lay_out(cudnn, {type, sizes, mask.causal, has_lengths(mask, sizes)}, buffers, &layout));
  *bytes = layout.bytes;
  return {};
}

Status attention_grad_cudnn(cuda::CudnnAttention& cudnn, DType type, const AttentionGradBuffers& b, const AttentionMask& mask, const AttentionSizes& sizes,
                            float scale, void* workspace, cudaStream_t stream) {
  const cuda::CudnnAttentionShape shape{type, sizes, mask.causal, has_lengths(mask, sizes)};
  GradientLayout layout;
  HALO_RETURN_IF_ERROR(lay_out(cudnn, shape, b, &layout));
  auto* lengths = cuda::piece<int32_t>(workspace, layout.lengths);
  const AttentionRows rows{lengths, lengths + sizes.batch, lengths + 2 * sizes.batch};
  if (shape.has_lengths) HALO_RETURN_IF_ERROR(attention_rows_cuda(mask.mask, sizes, rows, stream));
  const auto wanted = [workspace](void* out, int64_t at) { return out != nullptr ? out : cuda::piece<void>(workspace, at); };
  auto* delta = cuda::piece<float>(workspace, layout.delta);
  const cuda::CudnnAttentionBuffers buffers{.q = b.q,
                                            .k = b.k,
                                            .v = b.v,
                                            .y = const_cast<void*>(b.y),
                                            .log_sum_exp = const_cast<float*>(b.log_sum_exp),
                                            .query_lengths = rows.query_lengths,
                                            .key_lengths = rows.key_lengths,
                                            .dy = b.dy,
                                            .dq = wanted(b.dq, layout.dq),
                                            .dk = wanted(b.dk, layout.dk),
                                            .dv = wanted(b.dv, layout.dv),
                                            .delta = delta};
  HALO_RETURN_IF_ERROR(cudnn.gradient(shape, buffers, scale, cuda::piece<uint8_t>(workspace, layout.engine), stream));
  if (mask.mask == nullptr) return {};
  return attention_grad_cuda(type, b, mask, sizes, scale, rows.others, delta, stream);
}

}  // namespace halo
