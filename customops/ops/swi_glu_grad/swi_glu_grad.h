// The gradient of LLaMA's gated unit.
#pragma once

#include <cstdint>

#include "common/code_blocks.h"
#include "common/executor.h"

#ifdef HALO_CUDA
#include "provider/kernels/tensor.h"
#endif

namespace halo {

/// With s = 1 / (1 + e^-gate): dGate = dY * up * s * (1 + gate * (1 - s)), dUp = dY * gate * s, in float32. An output may be one of the inputs.
/// y, unless it is null, gets what swi_glu gives of gate and up, bit by bit. Reads and writes each element once; bound by memory.
template <class T>
void swi_glu_grad_cpu(const T* dy, const T* gate, const T* up, T* dgate, T* dup, T* y, int64_t count, const Executor& executor);

/// The same where gate and up were kept as codes, whose numbers are float32.
template <class T>
void swi_glu_grad_of_codes_cpu(const T* dy, BlockCodes gate, BlockCodes up, T* dgate, T* dup, T* y, int64_t count, const Executor& executor);

#ifdef HALO_CUDA
/// As swi_glu_grad_cpu, or, unless the scales are null, swi_glu_grad_of_codes_cpu, gate and up being int8 codes then. 16-byte accesses; the maxima, unless both
/// are null, get max |dGate| and max |dUp|, NaN where an element is one.
Status swi_glu_grad_cuda(DType type, const void* dy, const void* gate, const void* up, const float* gate_scales, const float* up_scales, void* dgate, void* dup,
                         void* y, float* gate_absmax, float* up_absmax, int64_t count, cudaStream_t stream);
#endif

}  // namespace halo
