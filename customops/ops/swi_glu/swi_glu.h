// The gated unit of LLaMA's feed-forward layers. [Shazeer 2020]
#pragma once

#include <cstdint>

#include "common/executor.h"

#ifdef HALO_CUDA
#include "provider/kernels/tensor.h"
#endif

namespace halo {

/// Y = silu(gate) * up, silu(x) = x / (1 + e^-x), in float32; Y may be gate or up. Reads and writes each element once; bound by memory.
template <class T>
void swi_glu_cpu(const T* gate, const T* up, T* y, int64_t count, const Executor& executor);

#ifdef HALO_CUDA
/// As swi_glu_cpu, with 16-byte accesses; `absmax`, unless null, gets max |y|, NaN where an element is one.
Status swi_glu_cuda(DType type, const void* gate, const void* up, void* y, float* absmax, int64_t count, cudaStream_t stream);
#endif

}  // namespace halo
