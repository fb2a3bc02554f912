// The product of two quantized matrices.
#pragma once

#include <cstdint>

#include "common/dtype.h"
#include "common/executor.h"
#include "common/products.h"
#include "common/status.h"

#ifdef HALO_CUDA
#include "provider/kernels/tensor.h"
#endif

namespace halo {

/// Codes with their scale; `type` says how they are read.
struct QuantizedMatrix {
  const uint8_t* codes;
  const float* scale;
  DType type;
};

/// Y (m, n) = (op(A) op(B)) * (scaleA * scaleB): decodes both into `decoded` (m k + k n floats), multiplies in float32, scales.
/// Decoding and scaling read and write each element once. Refuses what is no type of codes.
Status scaled_mat_mul_cpu(const QuantizedMatrix& a, const QuantizedMatrix& b, float* y, bool trans_a, bool trans_b, int64_t m, int64_t n, int64_t k,
                          float* decoded, const Products& products, const Executor& executor);

/// y (count) += addend.
template <class T>
void add_cpu(float* y, const T* addend, int64_t count, const Executor& executor);

#ifdef HALO_CUDA
namespace cuda {
class LtProducts;
}

/// How scaled_mat_mul_cuda multiplies: by 8-bit matrix units, or, where those refuse the pair of types (e5m2 with e5m2, float8 with int8), by those of
/// bfloat16, which holds every code exactly.
enum class ScaledMatMulPath { kFloat8, kInt8, kDecoded };

ScaledMatMulPath scaled_mat_mul_path(DType a, DType b);

/// Bytes of workspace for scaled_mat_mul_cuda: of operands only those that are packed.
int64_t scaled_mat_mul_workspace_cuda(const QuantizedMatrix& a, const QuantizedMatrix& b, DType to, bool trans_a, bool trans_b, int64_t m, int64_t n,
                                      int64_t k);

/// As scaled_mat_mul_cpu with both scales on the device, products summed in float32 (int8: exactly, in int32) and rounded to `to`, a float type of 32 or 16
/// bits, with `addend` (m, n) of that type added before, unless it is null. Operands that do not have K as their inner axis are transposed into the workspace
/// first, sizes that are no multiple of 16 padded with zeros.
Status scaled_mat_mul_cuda(cuda::LtProducts& products, const QuantizedMatrix& a, const QuantizedMatrix& b, DType to, void* y, bool trans_a, bool trans_b,
                           int64_t m, int64_t n, int64_t k, void* workspace, int64_t workspace_bytes, cudaStream_t stream, const void* addend = nullptr);
#endif

}  // namespace halo
