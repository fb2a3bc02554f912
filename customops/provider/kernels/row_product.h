// Products of few rows with matrices of floats: what decoding does, bound by the weights it reads.
#pragma once

#include "common/status.h"
#include "provider/kernels/tensor.h"

namespace halo::cuda {

/// Rows of A that one pass over the weights serves.
inline constexpr int64_t kMostProductRows = 4;

/// Whether row_product takes them: 1 to kMostProductRows rows of float, bfloat16 or float16, of whole 16 bytes each, A and W at multiples of 16 bytes.
bool row_product_supports(DType type, const void* a, const void* w, int64_t rows, int64_t k);

/// y (M, N) = alpha a (M, K) w^T + beta bias, w (N, K), sums in float32; bias (N) or null. Each weight is read once.
Status row_product(DType type, const void* a, const void* w, const void* bias, void* y, int64_t rows, int64_t n, int64_t k, float alpha, float beta,
                   cudaStream_t stream);

}  // namespace halo::cuda
