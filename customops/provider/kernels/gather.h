// Elements taken by index. Negative indices count from the end. An index out of range gives elements of all bits 1, NaN in every float type: a kernel
// cannot refuse, and a loss that is no number is one that training stops at.
#pragma once

#include "provider/kernels/tensor.h"

namespace halo::cuda {

/// y (outer, indices, inner) = data (outer, size, inner) at each of `count` indices along the middle axis. At most 2^31 - 1 slices (outer count), and as
/// many words of up to 16 bytes in each.
Status gather(int64_t element_size, const void* data, const Indices& indices, int64_t count, void* y, int64_t outer, int64_t size, int64_t inner,
              cudaStream_t stream);

/// y[i] = data[i with indices[i] in place of its coordinate along axis]; y and indices are of indices_dims.
Status gather_elements(int64_t element_size, const void* data, const Dims& data_dims, const Indices& indices, const Dims& indices_dims, int axis, void* y,
                       cudaStream_t stream);

/// The last axis of the indices names the first axes of data behind batch_axes ones, which both share.
Status gather_nd(int64_t element_size, const void* data, const Dims& data_dims, const Indices& indices, const Dims& indices_dims, int batch_axes, void* y,
                 cudaStream_t stream);

}  // namespace halo::cuda
