// Rounds a tensor to 8-bit codes under one scale, x ~ q * scale.
#pragma once

#include <cstdint>

#include "common/executor.h"

#ifdef HALO_CUDA
#include "provider/kernels/tensor.h"
#endif

namespace halo {

/// scale = max |x| / qmax, or 1 where that is no normal float32; codes (count) = saturate(round-half-even(x / scale)).
/// A NaN becomes the format's NaN code; a format without one (int8) gets a NaN scale. Two passes over X, one where `absmax`, max |x| or NaN where an element is
/// one, is given and no null; bound by memory. `partial` has room for quantize_partials(count) floats.
template <class Format, class T>
void quantize_cpu(const T* x, const float* absmax, uint8_t* codes, float* scale, int64_t count, float* partial, const Executor& executor);

int64_t quantize_partials(int64_t count);

/// turned (columns, rows) = codes (rows, columns) transposed, in tiles that the cache holds.
void transpose_codes_cpu(const uint8_t* codes, uint8_t* turned, int64_t rows, int64_t columns, const Executor& executor);

#ifdef HALO_CUDA
/// Bytes of workspace for quantize_cuda.
int64_t quantize_workspace_cuda();

/// As quantize_cpu<Format>, the same bits, but that Inf / Inf becomes a NaN of the sign of x, not of the processor's; `format` is Format::kName: e4m3, e5m2,
/// e3m2 or int8. `turned`, unless null, gets the codes of x (rows, columns) as (columns, rows), in the same pass.
Status quantize_cuda(const char* format, DType type, const void* x, const float* absmax, void* codes, void* turned, float* scale, int64_t rows, int64_t columns,
                     void* workspace, cudaStream_t stream);
#endif

}  // namespace halo
