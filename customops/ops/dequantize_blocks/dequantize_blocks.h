// The numbers that int8 codes with a scale for each 128 neighbours stand for.
#pragma once

#include <cstdint>

#include "common/code_blocks.h"
#include "common/executor.h"

#ifdef HALO_CUDA
#include "provider/kernels/tensor.h"
#endif

namespace halo {

/// x (count) = q * scale of its block, in float32, rounded to T. Reads and writes each element once; bound by memory.
template <class T>
void dequantize_blocks_cpu(const uint8_t* codes, const float* scales, T* x, int64_t count, const Executor& executor);

#ifdef HALO_CUDA
/// As dequantize_blocks_cpu, the same bits; `type` is that of x.
Status dequantize_blocks_cuda(DType type, const uint8_t* codes, const float* scales, void* x, int64_t count, cudaStream_t stream);
#endif

}  // namespace halo
