// Rotates pairs of each head's channels by angles that depend on the token's position. [Su et al. 2021, 3.4.2]
#pragma once

#include <cstdint>

#include "common/executor.h"
#include "common/head_layout.h"
#include "common/status.h"

#ifdef HALO_CUDA
#include "provider/kernels/tensor.h"
#endif

namespace halo {

struct RotarySizes {
  int64_t batch, heads, tokens, dim;  // B, H, T, D; D is even
  int64_t positions;                  // P, rows of the tables
  HeadLayout layout = HeadLayout::kBhsd;
};

/// X, Y: (B, H, T, D) in the layout of the sizes, cos, sin: (P, D/2), position_ids: (B, T), or null where token t uses row t; Y may not overlap X.
/// y1 = x1 cos - x2 sin, y2 = x2 cos + x1 sin over the halves of D, with -sin for the inverse. Refuses positions outside [0, P).
/// A task has whole rows; reads and writes each element once; bound by memory.
template <class T>
Status rotary_embedding_cpu(const T* x, const float* cos, const float* sin, const int64_t* position_ids, T* y, const RotarySizes& sizes, bool inverse,
                            const Executor& executor);

#ifdef HALO_CUDA
/// As rotary_embedding_cpu, except that a row whose position is outside [0, P) becomes NaN: a kernel cannot refuse. Without position_ids T <= P. D is even, at
/// most 262140 heads. `absmax`, unless null, gets max |y|, NaN where an element is one.
Status rotary_embedding_cuda(DType type, const void* x, const float* cos, const float* sin, const int64_t* position_ids, void* y, float* absmax,
                             const RotarySizes& sizes, bool inverse, cudaStream_t stream);
#endif

}  // namespace halo
