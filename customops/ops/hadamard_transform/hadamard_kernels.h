// Kernels for the sizes that rotations of large models have; hadamard_transform_cuda takes them where they fit. Each raises *absmax to the largest magnitude of
// what it writes, unless absmax is null.
#pragma once

#include "common/dtype.h"
#include "common/status.h"
#include "provider/kernels/tensor.h"

namespace halo {

/// Whether hadamard_rows_cuda takes vectors of `size` in rows of `columns`: powers of two from 256 to 8192, 16-byte packs throughout.
bool hadamard_rows_supports(DType type, const void* x, const void* y, int64_t columns, int64_t size);

/// `blocks` vectors of a size side by side in each row, times H = scale S. Numbers of 16 bits are exact operands of the matrix units, float32 three bfloat16
/// each; between the factors sums are two bfloat16, for a float32 result three, so that 2^-17 of them is lost before 16 bits are left.
Status hadamard_rows_cuda(DType type, const void* x, void* y, float* absmax, int64_t rows, int64_t columns, int64_t size, int64_t blocks, float scale,
                          cudaStream_t stream);

/// The same for vectors along columns, 256 to 1024 long, of 16-bit numbers, `blocks` below each other. Here and for longer ones nothing but sums in float32 is
/// rounded.
bool hadamard_columns_supports(DType type, const void* x, const void* y, int64_t columns, int64_t size);
Status hadamard_columns_cuda(DType type, const void* x, void* y, float* absmax, int64_t columns, int64_t size, int64_t blocks, float scale,
                             cudaStream_t stream);

/// The same for 2048 and 4096.
bool hadamard_tall_columns_supports(DType type, const void* x, const void* y, int64_t columns, int64_t size);
Status hadamard_tall_columns_cuda(DType type, const void* x, void* y, float* absmax, int64_t columns, int64_t size, int64_t blocks, float scale,
                                  cudaStream_t stream);

/// The same for powers of two from 512 to 8192, and A_K (x) S, K up to 172, of which eight columns fit in shared memory.
bool hadamard_long_columns_supports(DType type, const void* x, const void* y, int64_t columns, int64_t size);
Status hadamard_long_columns_cuda(DType type, const void* x, void* y, float* absmax, int64_t columns, int64_t size, int64_t blocks, bool inverse, float scale,
                                  cudaStream_t stream);

/// The same along rows for A_K (x) S_inner, K up to 48, inner from 16 on, of 16-bit numbers.
bool hadamard_orders_supports(DType type, const void* x, const void* y, int64_t columns, int64_t size);
Status hadamard_orders_cuda(DType type, const void* x, void* y, float* absmax, int64_t rows, int64_t columns, int64_t size, int64_t blocks, bool inverse,
                            float scale, cudaStream_t stream);

/// The same along rows for A_K (x) S_64, K from 49 to 172, of 16-bit numbers.
bool hadamard_large_orders_supports(DType type, const void* x, const void* y, int64_t columns, int64_t size);
Status hadamard_large_orders_cuda(DType type, const void* x, void* y, float* absmax, int64_t rows, int64_t columns, int64_t size, int64_t blocks, bool inverse,
                                  float scale, cudaStream_t stream);

}  // namespace halo
