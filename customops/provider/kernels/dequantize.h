// Codes into the numbers that they stand for: DequantizeLinear, and the packed weights of com.microsoft.MatMulNBits.
#pragma once

#include "provider/kernels/tensor.h"

namespace halo::cuda {

/// x (outer, size, inner), of which `block` neighbours along the middle axis share a scale: scales (outer, size / block, inner), or fewer with steps of 0.
struct ScaleLayout {
  int64_t outer = 1, size = 1, inner = 1, block = 1;
  int64_t outer_step = 0, size_step = 0, inner_step = 0;  // from one scale to the next, 0 for one scale of all
};

bool dequantize_supports(DType code, DType type);

/// y = (x - zero) * scale in float32, rounded once to `type`, the float type of the scales; `zero` is of the type of x, or null for 0. Codes are int8,
/// uint8, int32, float8e4m3fn or float8e5m2.
Status dequantize(DType code, DType type, const void* x, const void* scale, const void* zero, void* y, const ScaleLayout& layout, cudaStream_t stream);

/// Weights (N, K) in blocks of `block` along K, `bits` (2, 4 or 8) a code, the first code in the low bits.
struct PackedWeights {
  int64_t n, k, block, bits;
  int64_t blocks() const { return (k + block - 1) / block; }
  int64_t zero_bytes() const { return (blocks() * bits + 7) / 8; }
};

/// y (N, K) = (code - zero) * scale of codes (N, blocks, block bits / 8) and scales (N, blocks) of `type`; zeros are packed codes (N, zero_bytes), or of
/// `type` (N, blocks), or null for 2^(bits - 1).
Status unpack_weights(DType type, const uint8_t* codes, const void* scales, DType zero_type, const void* zeros, void* y, const PackedWeights& weights,
                      cudaStream_t stream);

}  // namespace halo::cuda
