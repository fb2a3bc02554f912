// Functions of one, two and three elements, with ONNX's broadcasting. 16-bit types are computed in float32; float64 and integers in themselves.
#pragma once

#include "provider/kernels/tensor.h"

namespace halo::cuda {

enum class UnaryOp { kNeg, kAbs, kSign, kSqrt, kReciprocal, kExp, kLog, kSigmoid, kTanh, kErf, kRelu, kSin, kCos, kFloor, kCeil, kRound, kNot, kIsNaN, kIsInf };

/// Whether `op` exists for elements of `type`. All but kNot take float, bfloat16, float16 and double; kNeg, kAbs, kSign, kRelu int32 and int64 as well;
/// kNot takes bool. kIsNaN and kIsInf (either sign) give bool, the others their own type.
bool unary_supports(UnaryOp op, DType type);

/// y (count) = op(x); y may be x where the types are of one size. What unary_supports.
Status unary(UnaryOp op, DType type, const void* x, void* y, int64_t count, cudaStream_t stream);

/// y (count) = x / (1 + e^(-alpha x)); y may be x. Float types and double.
Status swish(DType type, const void* x, float alpha, void* y, int64_t count, cudaStream_t stream);

/// y (count) = min(max(x, low), high); low and high are scalars on the device, or null. Float types, int32 and int64. A NaN stays one.
Status clip(DType type, const void* x, const void* low, const void* high, void* y, int64_t count, cudaStream_t stream);

/// kMod has the sign of the divisor, kFMod (attribute fmod=1) that of the dividend. kMin and kMax give NaN where either is one.
enum class BinaryOp { kAdd, kSub, kMul, kDiv, kPow, kMin, kMax, kMod, kFMod, kAnd, kOr, kXor, kEqual, kLess, kGreater, kLessOrEqual, kGreaterOrEqual };

/// Arithmetic takes float, bfloat16, float16, double, int32, int64 (kPow: no integers as base); logic takes bool; comparisons all of these and give bool.
bool binary_supports(BinaryOp op, DType type);

/// y = a op b, both broadcast to y's sizes. y may be a or b where that one has y's sizes and type. What binary_supports.
Status binary(BinaryOp op, DType type, const void* a, const Dims& a_dims, const void* b, const Dims& b_dims, void* y, const Dims& y_dims, cudaStream_t stream);

/// y = base ^ exponent, y of the type of the base; the exponent is of a float type, int32 or int64. y may be the base where that has y's sizes.
Status power(DType base_type, DType exponent_type, const void* base, const Dims& base_dims, const void* exponent, const Dims& exponent_dims, void* y,
             const Dims& y_dims, cudaStream_t stream);

/// y = inputs[0] op inputs[1] op ..., from the left: Sum, Min and Max of ONNX. y may be inputs[0] where that has y's sizes, else no input. One pass for
/// each pair; a single input is broadcast.
Status variadic(BinaryOp op, DType type, const void* const* inputs, const Dims* input_dims, int64_t inputs_count, void* y, const Dims& y_dims,
                cudaStream_t stream);

/// y = condition ? a : b, all broadcast to y's sizes. Any type: elements of `element_size` 1, 2, 4 or 8 bytes are copied.
Status where(int64_t element_size, const bool* condition, const Dims& condition_dims, const void* a, const Dims& a_dims, const void* b, const Dims& b_dims,
             void* y, const Dims& y_dims, cudaStream_t stream);

/// y (count) = x in another type: every pair of float, bfloat16, float16, double, int8, uint8, int32, int64, bool, float8e4m3fn and float8e5m2.
/// Rounding is half-even. To float8: `saturate` makes what is too large the largest number, else NaN (e4m3) or Inf (e5m2). To integers: towards
/// zero, saturating, NaN becomes 0. To bool: not equal 0.
Status cast(DType from, DType to, const void* x, void* y, int64_t count, bool saturate, cudaStream_t stream);

bool cast_supports(DType from, DType to);

}  // namespace halo::cuda
