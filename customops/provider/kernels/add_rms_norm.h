// A residual sum and the norm of it.
#pragma once

#include "common/status.h"
#include "provider/kernels/tensor.h"

namespace halo::cuda {

/// sum = x + skip, rounded to the type; y = sum / sqrt(mean of squares along a row + epsilon) * weight. All (rows, columns) but weight (columns); float,
/// bfloat16 or float16, computed in float32. A block a row: for the few rows of decoding, where the time is that of one block.
Status add_rms_norm(DType type, const void* x, const void* skip, const void* weight, void* sum, void* y, int64_t rows, int64_t columns, float epsilon,
                    cudaStream_t stream);

}  // namespace halo::cuda
