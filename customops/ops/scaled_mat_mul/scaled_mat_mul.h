// The product of two quantized matrices.
#pragma once

#include <cstdint>

#include "common/dtype.h"
#include "common/executor.h"
#include "common/products.h"

namespace halo {

/// Codes with their scale; `type` says how they are read.
struct QuantizedMatrix {
  const uint8_t* codes;
  const float* scale;
  DType type;
};

/// Y (m, n) = (op(A) op(B)) * (scaleA * scaleB): decodes both into `decoded` (m k + k n floats), multiplies in float32, scales.
/// Decoding and scaling read and write each element once.
void scaled_mat_mul_cpu(const QuantizedMatrix& a, const QuantizedMatrix& b, float* y, bool trans_a, bool trans_b, int64_t m, int64_t n, int64_t k,
                        float* decoded, const Products& products, const Executor& executor);

}  // namespace halo
