// Rounds a tensor to int8 codes under a scale for each 128 neighbours, x ~ q * scale.
#pragma once

#include <cstdint>

#include "common/code_blocks.h"
#include "common/executor.h"

#ifdef HALO_CUDA
#include "provider/kernels/tensor.h"
#endif

namespace halo {

/// Of each block of kCodeBlock elements: scales (code_blocks(count)), codes (count) = round-half-even(x * inverse), as BlockScale says. Reads x once from
/// memory.
template <class T>
void quantize_blocks_cpu(const T* x, uint8_t* codes, float* scales, int64_t count, const Executor& executor);

#ifdef HALO_CUDA
/// As quantize_blocks_cpu, the same bits.
Status quantize_blocks_cuda(DType type, const void* x, uint8_t* codes, float* scales, int64_t count, cudaStream_t stream);
#endif

}  // namespace halo
