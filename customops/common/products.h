// The float32 matrix products that kernels are built on. They come from outside: ONNX Runtime's own, or a check program's plain loops.
#pragma once

#include <cstdint>

namespace halo {

class Products {
 public:
  virtual ~Products() = default;

  /// Y (batch, M, N) = alpha op(A) op(B), row-major and dense; A (batch, M, K) or transposed (batch, K, M), B (batch, K, N) or (batch, N, K).
  virtual void multiply(bool trans_a, bool trans_b, float alpha, int64_t batch, int64_t m, int64_t n, int64_t k, const float* a, const float* b,
                        float* y) const = 0;
};

}  // namespace halo
