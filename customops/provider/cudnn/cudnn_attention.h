// Attention by cuDNN, opened at first use, with a plan for each shape.
#pragma once

#include <memory>
#include <mutex>
#include <string>

#include "common/status.h"
#include "common/visibility.h"
#include "provider/kernels/tensor.h"

namespace halo::cuda {

/// What a plan is made for; has_lengths: each batch row has a number of keys of its own.
struct CudnnAttentionShape {
  DType type;  // bfloat16 or float16
  AttentionSizes sizes;
  bool causal, has_lengths;
};

/// On the device, 16-byte aligned: q, y, dy, dq (B, H, T, D) and k, v, dk, dv (B, G, S, D) in the layout of the sizes; log_sum_exp, delta (B, H, T) float32.
struct CudnnAttentionBuffers {
  const void *q, *k, *v;
  void* y;             // read by the gradient
  float* log_sum_exp;  // likewise
  /// (B) int32 each, where the shape has lengths: keys [key_lengths[b], S) are hidden; query_lengths[b] is T.
  const int32_t *query_lengths = nullptr, *key_lengths = nullptr;
  const void* dy = nullptr;
  void *dq = nullptr, *dk = nullptr, *dv = nullptr;
  float* delta = nullptr;  // work memory of the gradient
};

/// One a device and process; safe to use from several threads.
class CudnnAttention {
 public:
  CudnnAttention();
  CudnnAttention(const CudnnAttention&) = delete;
  CudnnAttention& operator=(const CudnnAttention&) = delete;
  ~CudnnAttention();

  /// Opens the library: the file that HALO_CUDNN names, else libcudnn.so.9 by the loader's paths, else in CUDA's usual folders; from 9.14 on. The error says
  /// where it looked.
  Status open();

  /// The file that was opened, and its version; empty before.
  std::string path() const;
  std::string version() const;

  /// Bytes of workspace, after making the plan, which takes up to a second. A gradient keeps 2 (H/G) T S bytes for each key/value head of a batch row that it
  /// works on at a time: as many as kWorkspaceBound holds, at least one.
  Status workspace(const CudnnAttentionShape& shape, bool is_gradient, int64_t* bytes);

  /// y = softmax(scale q k^T over the visible keys) v, and the logarithm of the softmax's denominator. Each batch row has at least one visible key.
  Status forward(const CudnnAttentionShape& shape, const CudnnAttentionBuffers& buffers, float scale, void* workspace, cudaStream_t stream);

  /// dq, dk and dv; the same inputs give the same bits.
  Status gradient(const CudnnAttentionShape& shape, const CudnnAttentionBuffers& buffers, float scale, void* workspace, cudaStream_t stream);

  static constexpr int64_t kWorkspaceBound = int64_t{1} << 30;

 private:
  struct State;
  mutable std::mutex mutex_;
  std::unique_ptr<State> state_;
};

}  // namespace halo::cuda
