#include "ops/hadamard_quantize/hadamard_quantize.h"
#include "ops/hadamard_quantize/hadamard_quantize_kernels.h"
#include "ops/quantize/quantize.h"

namespace halo {

namespace {

/// Of the largest magnitude, in front of the rotated tensor.
constexpr int64_t kMaximumBytes = 256;

/// Whether hadamard_quantize_rows_cuda does both, so that the rotated tensor is never written.
bool is_one_kernel(const char* format, DType type, const void* x, const void* codes, const void* turned, const HadamardSizes& sizes) {
  return sizes.axis == 1 && !sizes.inverse &&
         hadamard_quantize_rows_supports(format, type, x, codes, turned, sizes.rows, sizes.columns, sizes.blocks, sizes.blocks_count);
}

}  // namespace

int64_t hadamard_quantize_workspace_cuda(const char* format, DType type, const void* x, const void* codes, const void* turned, const HadamardSizes& sizes) {
  if (is_one_kernel(format, type, x, codes, turned, sizes)) return hadamard_quantize_rows_workspace();
  return kMaximumBytes + sizes.rows * sizes.columns * size_of(type);
}

Status hadamard_quantize_cuda(const char* format, DType type, const void* x, void* codes, void* turned, float* scale, const HadamardSizes& sizes,
                              void* workspace, cudaStream_t stream) {
  if (is_one_kernel(format, type, x, codes, turned, sizes)) {
    return hadamard_quantize_rows_cuda(format, type, x, codes, turned, scale, sizes.rows, sizes.columns, sizes.blocks, sizes.blocks_count, workspace, stream);
  }
  auto* const absmax = static_cast<float*>(workspace);
  void* const rotated = static_cast<char*>(workspace) + kMaximumBytes;
  HALO_RETURN_IF_ERROR(
      hadamard_transform_cuda(type, x, rotated, absmax, sizes.rows, sizes.columns, sizes.axis, sizes.blocks, sizes.blocks_count, sizes.inverse, stream));
  return quantize_cuda(format, type, rotated, absmax, codes, turned, scale, sizes.rows, sizes.columns, nullptr, stream);
}

}  // namespace halo
