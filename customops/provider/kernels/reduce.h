// Reductions along any axes, in an order that hangs on the sizes alone.
#pragma once

#include "provider/kernels/tensor.h"

namespace halo::cuda {

enum class ReduceOp { kSum, kMean, kMax, kMin, kProd, kSumSquare, kL1, kL2, kLogSumExp };

/// Float types: sums in float32 (double in double), rounded once. int32 and int64: kSum, kMax, kMin, kProd, kMean. bool: kMax and kMin.
bool reduce_supports(ReduceOp op, DType type);

/// Bytes of workspace for reduce() of the same arguments; may be 0.
int64_t reduce_workspace(ReduceOp op, DType type, const Dims& x_dims, const bool* reduced);

/// y = x reduced along the axes whose `reduced` (x_dims.rank of them, on the host) is true; y is dense and has the other axes in order, so that keepdims
/// changes nothing here. No axis reduced: the operator of single elements. kMax and kMin give NaN where there is one. Over no elements: 0 for sums, 1 for
/// kProd, NaN for kMean, -Inf and Inf for kMax and kMin. At most 2^31 - 1 results, and as many elements to each unless those lie together.
Status reduce(ReduceOp op, DType type, const void* x, const Dims& x_dims, const bool* reduced, void* y, void* workspace, int64_t workspace_bytes,
              cudaStream_t stream);

/// Softmax, or its logarithm, along the middle axis of x (outer, size, inner), in float32 (double in double); y may be x. Float types. At most 2^31 - 1
/// of `outer`.
Status softmax(bool logarithm, DType type, const void* x, void* y, int64_t outer, int64_t size, int64_t inner, cudaStream_t stream);

/// Running sums along the middle axis of x (outer, size, inner): float types, int32, int64. y may not be x.
Status cumulative_sum(DType type, const void* x, void* y, int64_t outer, int64_t size, int64_t inner, bool exclusive, bool reverse, cudaStream_t stream);

}  // namespace halo::cuda
