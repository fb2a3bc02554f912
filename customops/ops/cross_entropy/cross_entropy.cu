#include "ops/cross_entropy/cross_entropy.h"

#include "provider/kernels/exponentials.cuh"
#include "provider/kernels/rows.cuh"

namespace halo {

namespace {

constexpr int kMostThreads = 512;

/// A block has a row and reads it once; bound by memory and the exponentials.
template <class T>
__global__ void __launch_bounds__(kMostThreads)
    cross_entropy_kernel(const T* logits, const int64_t* labels, float* log_sum_exp, double* row_losses, int64_t classes, int64_t ignored, bool is_packed) {
  __shared__ float scratch[cuda::kWarp];
  const T* x = logits + static_cast<int64_t>(blockIdx.x) * classes;
  // The label's logit is on its way while the row is read.
  const int64_t label = labels[blockIdx.x];
  const bool is_class = label >= 0 && label < classes;
  const float at_label = is_class ? to_float(x[label]) : std::numeric_limits<float>::quiet_NaN();
  cuda::Exponentials<float> thread_sum;
  cuda::for_row_packs<T>(x, classes, is_packed, [&](const cuda::RowPacks<T>& packs, int64_t first) {
    float numbers[cuda::RowPacks<T>::kCount];
    packs.numbers(first, classes, -std::numeric_limits<float>::infinity(), numbers);
    cuda::add(thread_sum, numbers);
  });
  const cuda::Exponentials<float> all = cuda::merged_over_block(thread_sum, scratch);
  if (threadIdx.x != 0) return;
  // The sum is that of the float32 output, so that the loss is the one that its gradient belongs to.
  const float sum = cuda::logarithm_of(all);
  log_sum_exp[blockIdx.x] = sum;
  const double loss = static_cast<double>(sum) - static_cast<double>(at_label);
  row_losses[blockIdx.x] = label == ignored ? 0.0 : loss;
}

/// One block adds up all rows.
__global__ void __launch_bounds__(1024) mean_loss_kernel(const double* row_losses, const int64_t* labels, int64_t rows, int64_t ignored, float* loss) {
  __shared__ double scratch[cuda::kWarp];
  double sum = 0, counted = 0;
#pragma unroll 8
  for (int64_t row = threadIdx.x; row < rows; row += blockDim.x) {
    sum += row_losses[row];
    counted += labels[row] == ignored ? 0.0 : 1.0;
  }
  sum = cuda::over_block(cuda::SumOf(), sum, 0.0, scratch);
  counted = cuda::over_block(cuda::SumOf(), counted, 0.0, scratch);
  if (threadIdx.x == 0) *loss = static_cast<float>(sum / counted);
}

}  // namespace

int64_t cross_entropy_workspace_cuda(int64_t rows) { return rows * static_cast<int64_t>(sizeof(double)); }

Status cross_entropy_cuda(DType type, const void* logits, const int64_t* labels, float* loss, float* log_sum_exp, int64_t rows, int64_t classes,
                          int64_t ignored, void* workspace, cudaStream_t stream) {
  HALO_REQUIRE(rows <= cuda::kMostBlocksX, "at most " << cuda::kMostBlocksX << " rows", rows, "Take a smaller batch or a shorter sequence.");
  auto* row_losses = static_cast<double*>(workspace);
  return cuda::dispatch_float(type, [&]<class T>() {
    HALO_RETURN_IF_ERROR(cuda::launch(cross_entropy_kernel<T>, static_cast<unsigned>(rows), cuda::threads_for_packs<T>(classes, kMostThreads), 0, stream,
                                      static_cast<const T*>(logits), labels, log_sum_exp, row_losses, classes, ignored,
                                      cuda::rows_are_packed<T>(classes, {logits})));
    return mean_loss_cuda(row_losses, labels, rows, ignored, loss, stream);
  });
}

Status mean_loss_cuda(const double* row_losses, const int64_t* labels, int64_t rows, int64_t ignored, float* loss, cudaStream_t stream) {
  return cuda::launch(mean_loss_kernel, 1, 1024, 0, stream, row_losses, labels, rows, ignored, loss);
}

}  // namespace halo
