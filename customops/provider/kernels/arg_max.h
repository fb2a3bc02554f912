// Where the largest element of a row stands.
#pragma once

#include "common/status.h"
#include "provider/kernels/tensor.h"

namespace halo::cuda {

/// Bytes of work memory of arg_max.
int64_t arg_max_workspace(int64_t rows, int64_t columns);

/// y (rows) = the first column of the largest of x (rows, columns), at least one column; of a NaN where there is one. float, bfloat16 or float16. Pieces of a
/// row by a block each, joined in order.
Status arg_max(DType type, const void* x, int64_t* y, int64_t rows, int64_t columns, void* workspace, cudaStream_t stream);

}  // namespace halo::cuda
