#include "ops/hadamard_quantize/hadamard_quantize.h"
#include "ops/quantize/quantize.h"

namespace halo {

namespace {

/// Of the largest magnitude, in front of the rotated tensor.
constexpr int64_t kMaximumBytes = 256;

}  // namespace

int64_t hadamard_quantize_workspace_cuda(const char*, DType type, const void*, const void*, const void*, const HadamardSizes& sizes) {
  return kMaximumBytes + sizes.rows * sizes.columns * size_of(type);
}

Status hadamard_quantize_cuda(const char* format, DType type, const void* x, void* codes, void* turned, float* scale, const HadamardSizes& sizes,
                              void* workspace, cudaStream_t stream) {
  auto* const absmax = static_cast<float*>(workspace);
  void* const rotated = static_cast<char*>(workspace) + kMaximumBytes;
  HALO_RETURN_IF_ERROR(
      hadamard_transform_cuda(type, x, rotated, absmax, sizes.rows, sizes.columns, sizes.axis, sizes.blocks, sizes.blocks_count, sizes.inverse, stream));
  return quantize_cuda(format, type, rotated, absmax, codes, turned, scale, sizes.rows, sizes.columns, nullptr, stream);
}

}  // namespace halo
