#include "ops/cross_entropy_grad/cross_entropy_grad.h"

#include "provider/kernels/rows.cuh"

namespace halo {

namespace {

constexpr int kMostThreads = 512;

__global__ void __launch_bounds__(1024) count_labels_kernel(const int64_t* labels, int64_t rows, int64_t ignored, double* counted) {
  __shared__ double scratch[cuda::kWarp];
  double count = 0;  // labels that are not ignored, of the thread
  for (int64_t row = threadIdx.x; row < rows; row += blockDim.x) count += labels[row] == ignored ? 0.0 : 1.0;
  count = cuda::over_block(cuda::SumOf(), count, 0.0, scratch);
  if (threadIdx.x == 0) *counted = count;
}

/// A block has a row. Reads and writes each element once; bound by memory. `at`: first class of a pack, `length`: its classes within the row, 1 to kWidth.
template <class T>
__global__ void __launch_bounds__(kMostThreads) cross_entropy_grad_kernel(const float* dloss, const T* logits, const int64_t* labels, const float* log_sum_exp,
                                                                          T* dlogits, int64_t classes, int64_t ignored, const double* counted, bool is_packed) {
  constexpr int kWidth = cuda::kRowWidth<T>;
  const T* x = logits + static_cast<int64_t>(blockIdx.x) * classes;
  T* dx = dlogits + static_cast<int64_t>(blockIdx.x) * classes;
  const int64_t label = labels[blockIdx.x];
  const bool is_ignored = label == ignored, is_class = label >= 0 && label < classes;
  const float sum = log_sum_exp[blockIdx.x];
  const float scale = is_class ? static_cast<float>(static_cast<double>(*dloss) / *counted) : std::numeric_limits<float>::quiet_NaN();
  cuda::for_packs<T>(classes, is_packed, [&](int64_t at, int length, bool is_whole) {
    T values[kWidth], results[kWidth];
    cuda::load_pack<kWidth>(x, at, 1, is_whole, length, values);
#pragma unroll
    for (int i = 0; i < kWidth; ++i) {
      const float p = i < length ? expf(to_float(values[i]) - sum) : 0.0f;
      results[i] = from_float<T>(is_ignored ? 0.0f : (at + i == label ? p - 1.0f : p) * scale);
    }
    cuda::store_pack<kWidth>(dx + at, is_whole, length, results);
  });
}

}  // namespace

Status count_labels_cuda(const int64_t* labels, int64_t rows, int64_t ignored, double* counted, cudaStream_t stream) {
  return cuda::launch(count_labels_kernel, 1, 1024, 0, stream, labels, rows, ignored, counted);
}

int64_t cross_entropy_grad_workspace_cuda() { return static_cast<int64_t>(sizeof(double)); }

Status cross_entropy_grad_cuda(DType type, const float* dloss, const void* logits, const int64_t* labels, const float* log_sum_exp, void* dlogits, int64_t rows,
                               int64_t classes, int64_t ignored, void* workspace, cudaStream_t stream) {
  HALO_REQUIRE(rows <= cuda::kMostBlocksX, "at most " << cuda::kMostBlocksX << " rows", rows, "Take a smaller batch or a shorter sequence.");
  auto* counted = static_cast<double*>(workspace);
  HALO_RETURN_IF_ERROR(count_labels_cuda(labels, rows, ignored, counted, stream));
  return cuda::dispatch_float(type, [&]<class T>() {
    return cuda::launch(cross_entropy_grad_kernel<T>, static_cast<unsigned>(rows), cuda::threads_for_row<T>(classes, kMostThreads), 0, stream, dloss,
                        static_cast<const T*>(logits), labels, log_sum_exp, static_cast<T*>(dlogits), classes, ignored, counted,
                        cuda::rows_are_packed<T>(classes, {logits, dlogits}));
  });
}

}  // namespace halo
