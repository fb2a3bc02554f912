// Codes with a scale a block of consecutive elements, and sums of tensors that are given so: what gradients are sent as.
#pragma once

#include <cstdint>

#include "common/executor.h"

#ifdef HALO_CUDA
#include "provider/kernels/tensor.h"
#endif

namespace halo {

/// For each of `blocks` blocks of `block` elements: scale = max |x| / qmax, or 1 where that is no normal float32, codes = saturate(round-half-even(x / scale)).
/// A block with an element that is not finite has scale NaN and codes of 0. Reads X twice, from the cache where a block fits; bound by memory.
template <class Format, class T>
void quantize_rows_cpu(const T* x, uint8_t* codes, float* scales, int64_t blocks, int64_t block, const Executor& executor);

/// y (blocks, block) = sum over parts p of codes (parts, blocks, block) [p] scales (parts, blocks) [p]: the first product, to which the others are added in
/// order, each with one rounding. Reads each code once, writes y; bound by memory.
template <class Format>
void sum_rows_cpu(const uint8_t* codes, const float* scales, float* y, int64_t parts, int64_t blocks, int64_t block, const Executor& executor);

#ifdef HALO_CUDA
/// As the CPU's, the same bits. `format` is Format::kName: e4m3, e5m2 or int8.
Status quantize_rows_cuda(const char* format, DType type, const void* x, void* codes, float* scales, int64_t blocks, int64_t block, cudaStream_t stream);

/// As the CPU's, the same bits. `type` is that of the codes.
Status sum_rows_cuda(DType type, const void* codes, const float* scales, float* y, int64_t parts, int64_t blocks, int64_t block, cudaStream_t stream);
#endif

}  // namespace halo
