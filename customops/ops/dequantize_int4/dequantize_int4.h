// The matrix that 4-bit codes in blocks of 32 along its rows stand for.
#pragma once

#include <cstdint>

#include "common/executor.h"
#include "common/shape.h"

#ifdef HALO_CUDA
#include "provider/kernels/tensor.h"
#endif

namespace halo {

/// Neighbours in a row that share a scale and a zero point.
inline constexpr int64_t kInt4Block = 32;

inline constexpr int64_t int4_blocks(int64_t columns) { return (columns + kInt4Block - 1) / kInt4Block; }

/// Codes (rows, 16 blocks), the lower four bits first; scales and zeros (rows, blocks).
struct Int4Matrix {
  const uint8_t* codes;
  const Float16* scales;
  const uint8_t* zeros;
  int64_t rows, columns;
};

/// x (rows, columns) = (code - zero) * scale in float32, rounded to T. Reads 0.6 bytes an element and writes each once; bound by memory.
template <class T>
void dequantize_int4_cpu(const Int4Matrix& matrix, T* x, const Executor& executor);

#ifdef HALO_CUDA
/// As dequantize_int4_cpu, the same bits; `type` is that of x.
Status dequantize_int4_cuda(DType type, const Int4Matrix& matrix, void* x, cudaStream_t stream);
#endif

}  // namespace halo
