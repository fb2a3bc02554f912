// Matrix products by cuBLASLt, opened at first use, with the algorithm chosen once a shape.
#pragma once

#include <compare>
#include <memory>
#include <mutex>
#include <string>

#include "common/status.h"
#include "provider/kernels/tensor.h"
#include "provider/products/workspace.h"

namespace halo::cuda {

/// Y (batch, M, N) = alpha op(A) op(B) + beta C, row-major and dense; A (batch, M, K) or transposed (batch, K, M), B (batch, K, N) or (batch, N, K).
/// Types a, b -> y, computed in: float, float -> float in float32 (no TF32); bfloat16 or float16 of both -> the same or float, in float32;
/// double -> double; int8, int8 -> int32 in int32; float8 (not both e5m2) -> float or bfloat16, in float32, with scales.
struct Product {
  DType type_a = DType::kFloat, type_b = DType::kFloat, type_y = DType::kFloat;
  bool trans_a = false, trans_b = false;
  int64_t batch = 1, m = 0, n = 0, k = 0;
  /// Elements from one matrix of the batch to the next; 0 reads the same one again.
  int64_t stride_a = 0, stride_b = 0, stride_y = 0;
  /// Whole numbers for int8.
  float alpha = 1.0f, beta = 0.0f;

  auto operator<=>(const Product&) const = default;
};

/// One a device and process; safe to use from several threads, each with its own stream and workspace.
class LtProducts {
 public:
  LtProducts();
  LtProducts(const LtProducts&) = delete;
  LtProducts& operator=(const LtProducts&) = delete;
  ~LtProducts();

  /// Opens the library: the file that HALO_CUBLASLT names, else libcublasLt.so.13 or .12 by the loader's paths, else in CUDA's usual folders. The first
  /// multiply() does it otherwise. The error says where it looked.
  Status open();

  /// The file that was opened, and its version; empty before.
  std::string path() const;
  std::string version() const;

  /// Bytes of workspace that multiply() wants; it may be given less, and then has fewer algorithms.
  static constexpr int64_t kWorkspaceBytes = kProductWorkspaceBytes;

  /// scale_a, scale_b: for float8 one float32 each on the device (x = code * scale), else null. K = 0 and beta = 0 make Y zero.
  /// C lies as Y does; null is Y itself.
  /// float8 wants trans_a = false, trans_b = true, M, N and K multiples of 16 and 16-byte pointers; int8 the same with multiples of 4.
  Status multiply(const Product& product, const void* a, const void* b, void* y, const float* scale_a, const float* scale_b, void* workspace,
                  int64_t workspace_bytes, cudaStream_t stream, const void* c = nullptr);

 private:
  struct State;
  mutable std::mutex mutex_;
  std::unique_ptr<State> state_;
};

}  // namespace halo::cuda
