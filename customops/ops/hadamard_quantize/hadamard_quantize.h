// Rotation of a matrix by a block-diagonal Hadamard matrix, rounded to 8-bit codes under one scale.
#pragma once

#include <cstdint>
#include <vector>

#include "common/executor.h"
#include "ops/hadamard_transform/hadamard_transform.h"

#ifdef HALO_CUDA
#include "provider/kernels/tensor.h"
#endif

namespace halo {

/// hadamard_transform_cpu, absolute_max_cpu of that, quantize_cpu<Format> by it, one after the other. `rotated` has room for X. `turned`, unless null, gets the
/// codes (rows, columns) as (columns, rows).
template <class Format, class T>
void hadamard_quantize_cpu(const T* x, T* rotated, uint8_t* codes, uint8_t* turned, float* scale, int64_t rows, int64_t columns, int axis,
                           const std::vector<HadamardBlock>& blocks, bool inverse, const Executor& executor);

#ifdef HALO_CUDA
/// Y = X H along an axis, as hadamard_transform_cuda takes it.
struct HadamardSizes {
  int64_t rows, columns;
  int axis;
  bool inverse;
  const int64_t* blocks;  // on the host
  int64_t blocks_count;
};

/// Bytes of workspace for hadamard_quantize_cuda.
int64_t hadamard_quantize_workspace_cuda(const char* format, DType type, const void* x, const void* codes, const void* turned, const HadamardSizes& sizes);

/// As hadamard_transform_cuda with the largest magnitude, then quantize_cuda by it: the same bits.
Status hadamard_quantize_cuda(const char* format, DType type, const void* x, void* codes, void* turned, float* scale, const HadamardSizes& sizes,
                              void* workspace, cudaStream_t stream);
#endif

}  // namespace halo
