// Kernels that rotate and encode without a rotated tensor; hadamard_quantize_cuda takes them where they fit.
#pragma once

#include <cstdint>

#include "common/dtype.h"
#include "common/status.h"
#include "provider/kernels/tensor.h"

namespace halo {

/// Whether hadamard_quantize_rows_cuda takes blocks along rows: of one size, a power of two from 256 to 4096, of 16-bit numbers, in 16-byte packs; formats
/// e4m3, e5m2 and int8. With `turned`: rows in multiples of 16, columns in multiples of 4096 or, for blocks of up to 2048, of 2048.
bool hadamard_quantize_rows_takes(const char* format, DType type, const void* x, const void* codes, const void* turned, int64_t rows, int64_t columns,
                                  const int64_t* blocks, int64_t blocks_count);

/// Whether it takes them and is faster than the two operators on this GPU: where each multiprocessor has enough to do.
bool hadamard_quantize_rows_supports(const char* format, DType type, const void* x, const void* codes, const void* turned, int64_t rows, int64_t columns,
                                     const int64_t* blocks, int64_t blocks_count);

/// Bytes of workspace for it.
int64_t hadamard_quantize_rows_workspace();

/// Codes and scale of hadamard_transform_cuda along axis 1 and then quantize_cuda by its maximum, the same bits. `turned`, unless
/// null, gets the codes as (columns, rows). Reads x twice, writes codes: nothing else is in memory.
Status hadamard_quantize_rows_cuda(const char* format, DType type, const void* x, void* codes, void* turned, float* scale, int64_t rows, int64_t columns,
                                   const int64_t* blocks, int64_t blocks_count, void* workspace, cudaStream_t stream);

}  // namespace halo
