// Elements moved without looking at them: `element_size` is 1, 2, 4 or 8 bytes. No output may overlap an input.
#pragma once

#include "provider/kernels/tensor.h"

namespace halo::cuda {

/// y[sum(i * y_strides)] = x[sum(i * x_strides)] for all indices i below `dims`, strides in elements, 0 or negative ones included. What Expand, Slice,
/// Transpose, Concat and Split come down to. Pieces of 2^30 elements, or as many tiles of 32 x 32, are copied one after the other.
Status strided_copy(int64_t element_size, const void* x, const PerAxis& x_strides, void* y, const PerAxis& y_strides, const Dims& dims, cudaStream_t stream);

/// Axis i of y is axis permutation[i] of x.
Status transpose(int64_t element_size, const void* x, const Dims& x_dims, const PerAxis& permutation, void* y, cudaStream_t stream);

/// x broadcast to y_dims, right-aligned.
Status expand(int64_t element_size, const void* x, const Dims& x_dims, void* y, const Dims& y_dims, cudaStream_t stream);

/// y[i] = x[starts + i * steps] along every axis; starts and steps as ONNX's rules leave them: in range, one for each axis (0 and 1 for the others).
Status slice(int64_t element_size, const void* x, const Dims& x_dims, const PerAxis& starts, const PerAxis& steps, void* y, const Dims& y_dims,
             cudaStream_t stream);

/// Inputs of the sizes of y, but for `axis`.
Status concat(int64_t element_size, const void* const* inputs, const int64_t* axis_sizes, int64_t inputs_count, int axis, void* y, const Dims& y_dims,
              cudaStream_t stream);

/// Outputs of the sizes of x, but for `axis`; a null one is left out.
Status split(int64_t element_size, const void* x, const Dims& x_dims, int axis, void* const* outputs, const int64_t* axis_sizes, int64_t outputs_count,
             cudaStream_t stream);

/// y[i] = x[i modulo x's sizes].
Status tile(int64_t element_size, const void* x, const Dims& x_dims, void* y, const Dims& y_dims, cudaStream_t stream);

enum class PadMode { kConstant, kEdge, kReflect };

/// y[i] = x[i - begins], outside of x by mode; begins may be negative, which cuts. `value` is a scalar on the device, or null for 0.
Status pad(int64_t element_size, PadMode mode, const void* x, const Dims& x_dims, const PerAxis& begins, const void* value, void* y, const Dims& y_dims,
           cudaStream_t stream);

/// The triangle of x (batch, rows, columns) at or above diagonal k (upper), else at or below it; 0 elsewhere.
Status triangle(int64_t element_size, const void* x, void* y, int64_t batch, int64_t rows, int64_t columns, int64_t k, bool upper, cudaStream_t stream);

/// y (count) = the element whose bytes are the low ones of `bits`: ConstantOfShape.
Status fill(int64_t element_size, uint64_t bits, void* y, int64_t count, cudaStream_t stream);

/// y[i] = start + i * delta, from numbers of the type on the host: float, double, int32 or int64.
Status range(DType type, const void* start, const void* delta, void* y, int64_t count, cudaStream_t stream);

/// y (outer, depth, inner) = values[1] where indices (outer, inner) is the position along depth, else values[0]; a negative index counts from the end.
/// `values` (2) lies on the device.
Status one_hot(int64_t element_size, const Indices& indices, const void* values, void* y, int64_t outer, int64_t depth, int64_t inner, cudaStream_t stream);

}  // namespace halo::cuda
