#include "ops/attention/attention_cudnn.h"

#include <algorithm>
#include <limits>

#include "provider/pieces.h"

namespace halo {

namespace {

struct Layout {
  int64_t lengths, sums, engine, bytes;
};

Status lay_out(cuda::CudnnAttention& cudnn, const cuda::CudnnAttentionShape& shape, bool has_sums, Layout* layout) {
  const AttentionSizes& s = shape.sizes;
  int64_t engine = 0;
  HALO_RETURN_IF_ERROR(cudnn.workspace(shape, false, &engine));
  cuda::Pieces pieces;
  layout->lengths = pieces.add<int32_t>(shape.has_lengths ? 3 * s.batch : 0);
  layout->sums = pieces.add<float>(has_sums ? 0 : s.batch * s.heads * s.queries);
  layout->engine = pieces.add<uint8_t>(engine);
  layout->bytes = pieces.bytes();
  return {};
}

}  // namespace

Status check_attention_cudnn(DType type, const AttentionMask& mask, const AttentionSizes& sizes) {
  constexpr int64_t kMostDim = 256, kMostScoreBytes = int64_t{4} << 30;
  constexpr const char* kAdvice = "Set attention to auto or halo.";
  HALO_REQUIRE(type == DType::kBFloat16 || type == DType::kFloat16, "bfloat16 or float16 for cuDNN's attention", name_of(type), kAdvice);
  HALO_REQUIRE(mask.documents == nullptr, "attention without documents for cuDNN", "documentIds", kAdvice);
  HALO_REQUIRE(mask.window == 0 || mask.window >= sizes.keys, "attention without a window for cuDNN", mask.window, kAdvice);
  HALO_REQUIRE(sizes.dim % 8 == 0 && sizes.dim <= kMostDim, "heads of up to " << kMostDim << " channels, a multiple of 8, for cuDNN's attention", sizes.dim,
               kAdvice);
  HALO_REQUIRE(sizes.pairs() * sizes.rows() * sizes.keys * sizes.dim > 0, "tensors with elements for cuDNN's attention", "none", kAdvice);
  const int64_t scores = 2 * sizes.rows() * sizes.keys;
  HALO_REQUIRE(scores <= kMostScoreBytes, "at most " << kMostScoreBytes << " bytes of scores of a key/value head for cuDNN's attention", scores, kAdvice);
  const int64_t row = std::max(sizes.heads * sizes.queries, sizes.groups * sizes.keys) * sizes.dim;
  HALO_REQUIRE(sizes.layout == HeadLayout::kBhsd || row <= std::numeric_limits<int32_t>::max(),
               "at most " << std::numeric_limits<int32_t>::max() << " elements of a batch row with heads side by side for cuDNN's attention", row, kAdvice);
  return {};
}

Status attention_cudnn_workspace(cuda::CudnnAttention& cudnn, DType type, const AttentionMask& mask, const AttentionSizes& sizes, bool has_sums,
                                 int64_t* bytes) {
  Layout layout;
  HALO_RETURN_IF_ERROR(lay_out(cudnn, {type, sizes, mask.causal, mask.mask != nullptr}, has_sums, &layout));
  *bytes = layout.bytes;
  return {};
}

Status attention_cudnn(cuda::CudnnAttention& cudnn, DType type, const void* q, const void* k, const void* v, const AttentionMask& mask, void* y,
                       float* log_sum_exp, const AttentionSizes& sizes, float scale, void* workspace, cudaStream_t stream) {
  const cuda::CudnnAttentionShape shape{type, sizes, mask.causal, mask.mask != nullptr};
  Layout layout;
  HALO_RETURN_IF_ERROR(lay_out(cudnn, shape, log_sum_exp != nullptr, &layout));
  auto* lengths = cuda::piece<int32_t>(workspace, layout.lengths);
  const AttentionRows rows{lengths, lengths + sizes.batch, lengths + 2 * sizes.batch};
  if (shape.has_lengths) HALO_RETURN_IF_ERROR(attention_rows_cuda(mask.mask, sizes, rows, stream));
  float* sums = log_sum_exp != nullptr ? log_sum_exp : cuda::piece<float>(workspace, layout.sums);
  const cuda::CudnnAttentionBuffers buffers{
      .q = q, .k = k, .v = v, .y = y, .log_sum_exp = sums, .query_lengths = rows.query_lengths, .key_lengths = rows.key_lengths};
  HALO_RETURN_IF_ERROR(cudnn.forward(shape, buffers, scale, cuda::piece<uint8_t>(workspace, layout.engine), stream));
  if (!shape.has_lengths) return {};
  return attention_cuda(type, q, k, v, mask, y, sums, sizes, scale, rows.others, stream);
}

}  // namespace halo
