#include "ops/cross_entropy_grad/cross_entropy_grad.h"

#include "provider/kernels/rows.cuh"

namespace halo {

namespace {

constexpr int kMostThreads = 512;

__global__ void __launch_bounds__(1024) count_labels_kernel(const int64_t* labels, int64_t rows, int64_t ignored, double* counted) {
  __shared__ double scratch[cuda::kWarp];
  double own = 0;
#pragma unroll 8
  for (int64_t row = threadIdx.x; row < rows; row += blockDim.x) own += labels[row] == ignored ? 0.0 : 1.0;
  own = cuda::over_block(cuda::SumOf(), own, 0.0, scratch);
  if (threadIdx.x == 0) *counted = own;
}

/// A block has a row. Reads and writes each element once; bound by memory.
template <class T>
__global__ void __launch_bounds__(kMostThreads) cross_entropy_grad_kernel(const float* dloss, const T* logits, const int64_t* labels, const float* log_sum_exp,
                                                                          T* dlogits, int64_t classes, int64_t ignored, const double* counted, bool is_packed) {
  const T* x = logits + static_cast<int64_t>(blockIdx.x) * classes;
  T* dx = dlogits + static_cast<int64_t>(blockIdx.x) * classes;
  const int64_t label = labels[blockIdx.x];
  const bool is_ignored = label == ignored, is_class = label >= 0 && label < classes;
  const float sum = log_sum_exp[blockIdx.x];
  const float scale = is_class ? static_cast<float>(static_cast<double>(*dloss) / *counted) : std::numeric_limits<float>::quiet_NaN();
  cuda::for_row_packs<T>(x, classes, is_packed, [&](const cuda::RowPacks<T>& packs, int64_t first) {
    cuda::RowPacks<T>::store(dx, first, classes, is_packed, [&](int p, int e) {
      const float probability = expf(packs.number(first, classes, p, e, 0.0f) - sum);
      const bool is_label = cuda::RowPacks<T>::column(first, p) + e == label;
      return from_float<T>(is_ignored ? 0.0f : (is_label ? probability - 1.0f : probability) * scale);
    });
  });
}

}  // namespace

int64_t cross_entropy_grad_workspace_cuda() { return static_cast<int64_t>(sizeof(double)); }

cudaError_t cross_entropy_grad_cuda(DType type, const float* dloss, const void* logits, const int64_t* labels, const float* log_sum_exp, void* dlogits,
                                    int64_t rows, int64_t classes, int64_t ignored, void* workspace, cudaStream_t stream) {
  if (rows > INT32_MAX) return cudaErrorInvalidValue;
  auto* counted = static_cast<double*>(workspace);
  HALO_CUDA_RETURN_IF_ERROR(cuda::launch(count_labels_kernel, 1, 1024, 0, stream, labels, rows, ignored, counted));
  return cuda::dispatch_float(type, [&]<class T>() {
    return cuda::launch(cross_entropy_grad_kernel<T>, static_cast<unsigned>(rows), cuda::threads_for_packs<T>(classes, kMostThreads), 0, stream, dloss,
                        static_cast<const T*>(logits), labels, log_sum_exp, static_cast<T*>(dlogits), classes, ignored, counted,
                        cuda::rows_are_packed<T>(classes, {logits, dlogits}));
  });
}

}  // namespace halo
