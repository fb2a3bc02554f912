// Matrix products by cuBLASLt, opened at first use, with the algorithm chosen once a shape.
#pragma once

#include <map>
#include <mutex>
#include <string>

#include "common/status.h"
#include "provider/kernels/tensor.h"

namespace halo::cuda {

/// Y (batch, M, N) = alpha op(A) op(B) + beta Y, row-major and dense; A (batch, M, K) or transposed (batch, K, M), B (batch, K, N) or (batch, N, K).
/// Types a, b -> y, computed in: float, float -> float in float32 (no TF32); bfloat16 or float16 of both -> the same or float, in float32;
/// double -> double; int8, int8 -> int32 in int32; float8 (not both e5m2) -> float, bfloat16 or float16 in float32, with scales.
struct Product {
  DType type_a = DType::kFloat, type_b = DType::kFloat, type_y = DType::kFloat;
  bool trans_a = false, trans_b = false;
  int64_t batch = 1, m = 0, n = 0, k = 0;
  /// Elements from one matrix of the batch to the next; 0 reads the same one again.
  int64_t stride_a = 0, stride_b = 0, stride_y = 0;
  float alpha = 1.0f, beta = 0.0f;

  auto operator<=>(const Product&) const = default;
};

/// One a device and process; safe to use from several threads, each with its own stream.
class LtProducts {
 public:
  LtProducts() = default;
  LtProducts(const LtProducts&) = delete;
  LtProducts& operator=(const LtProducts&) = delete;
  ~LtProducts();

  /// Opens the library (HALO_CUBLASLT names a file, else libcublasLt.so of 13, then 12, by the loader's paths, then CUDA's usual folders). Done by the first
  /// multiply() otherwise. The error says where it looked.
  Status open();

  /// The file that was opened, and its version; empty before.
  std::string path() const;
  std::string version() const;

  /// Bytes of workspace that multiply() wants; it may be given less, and then has fewer algorithms.
  static constexpr int64_t kWorkspaceBytes = int64_t{32} << 20;

  /// scale_a, scale_b: for float8 one float32 each on the device (x = code * scale), else null. K = 0 makes Y = beta Y.
  /// float8 wants trans_a = false, trans_b = true, M, N and K multiples of 16, and 16-byte pointers; int8 the same with multiples of 4.
  Status multiply(const Product& product, const void* a, const void* b, void* y, const float* scale_a, const float* scale_b, void* workspace,
                  int64_t workspace_bytes, cudaStream_t stream);

 private:
  struct Library;
  struct Plan;
  Status plan_for(const Product& product, int64_t workspace_bytes, int alignment, const Plan** plan);

  mutable std::mutex mutex_;
  Library* library_ = nullptr;
  std::map<std::string, Plan*> plans_;
};

/// ONNX's MatMul as products: numpy's broadcasting of the leading axes, vectors as matrices of one row or column. `count` products, one a pair of
/// offsets, where the leading axes are no single stride; most shapes are one batched product.
struct MatMulPlan {
  static constexpr int kMaxProducts = 4096;
  Product product;                    // with its batch and strides
  Dims leading;                       // axes to loop over beside the batch
  PerAxis a_steps, b_steps, y_steps;  // elements from one index of `leading` to the next

  /// Sets the plan; an error where the sizes do not fit together.
  static Status make(DType type, const Dims& a, const Dims& b, bool trans_a, bool trans_b, float alpha, MatMulPlan* plan);
};

/// All products of a plan.
Status mat_mul(LtProducts& products, const MatMulPlan& plan, const void* a, const void* b, void* y, void* workspace, int64_t workspace_bytes,
               cudaStream_t stream);

}  // namespace halo::cuda
