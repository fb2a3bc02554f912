// Products of few rows with packed weights: what decoding does, bound by the codes it reads.
#pragma once

#include "provider/kernels/dequantize.h"

namespace halo::cuda {

/// Rows of A that one pass over the codes serves.
inline constexpr int64_t kMostPackedRows = 4;

/// Whether packed_product takes them: at most kMostPackedRows rows that fit in shared memory, blocks of whole 16 bytes, codes at a multiple of 16 bytes.
bool packed_product_supports(int64_t rows, const uint8_t* codes, const PackedWeights& weights);

/// y (M, N) = a (M, K) w^T + bias, w (N, K) as unpack_weights writes it but never written, sums in float32; bias (N) or null. Each code is read once.
Status packed_product(DType type, const void* a, int64_t rows, const uint8_t* codes, const void* scales, DType zero_type, const void* zeros, const void* bias,
                      void* y, const PackedWeights& weights, cudaStream_t stream);

}  // namespace halo::cuda
