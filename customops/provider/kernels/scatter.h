// Elements put by index, one after the other in the order of the updates whatever the threads do: with kNone the last update of an element stays, with the
// others they are taken in order. Negative indices count from the end; an index out of range changes nothing but the first element, which gets all bits 1
// (NaN in every float type).
#pragma once

#include "provider/kernels/tensor.h"

namespace halo::cuda {

enum class ScatterReduction { kNone, kAdd, kMul, kMax, kMin };

/// float, bfloat16, float16 (all computed in float32, rounded once), double, int32, int64; kNone: bool as well.
bool scatter_supports(ScatterReduction reduction, DType type);

/// y = data (data_dims), then y[i with indices[i] along axis] op= updates[i]; updates are of indices_dims. y may be data.
/// An element is found among those of its line along `axis` by comparing with all of them: made for short lines.
Status scatter_elements(ScatterReduction reduction, DType type, const void* data, const Dims& data_dims, const Indices& indices, const Dims& indices_dims,
                        int axis, const void* updates, void* y, cudaStream_t stream);

/// Bytes of workspace for scatter_nd() of the same indices.
int64_t scatter_nd_workspace(const Dims& indices_dims);

/// y = data, then y[indices[i]] op= updates[i], slices of the axes that the last axis of the indices does not name. y may be data.
/// The updates are brought into order by counting, for each, those that come before it: n^2 comparisons for n slices, at most
/// 2^31 - 1 of them.
Status scatter_nd(ScatterReduction reduction, DType type, const void* data, const Dims& data_dims, const Indices& indices, const Dims& indices_dims,
                  const void* updates, void* y, void* workspace, int64_t workspace_bytes, cudaStream_t stream);

}  // namespace halo::cuda
