#include "provider/kernels/loss.h"

#include "provider/kernels/device.cuh"

namespace halo::cuda {

namespace {

struct LabelRule {
  bool has_ignored;
  int64_t ignored;
};

/// Minus the weighted logarithm of the label's probability, and the weight, of row r at losses[2 r]. NaN for a label that is no class.
template <class T, class Logarithm>
__device__ void label_loss(int64_t label, const T* weights, LabelRule rule, int64_t classes, double* losses, Logarithm&& logarithm) {
  const bool is_ignored = rule.has_ignored && label == rule.ignored, is_class = label >= 0 && label < classes;
  const double weight = is_ignored || !is_class ? 0.0 : (weights != nullptr ? static_cast<double>(widened(weights[label])) : 1.0);
  losses[0] = is_ignored ? 0.0 : (is_class ? -weight * static_cast<double>(logarithm(label)) : std::numeric_limits<double>::quiet_NaN());
  losses[1] = weight;
}

/// A block has one row: of (batch, inner), `classes` scores that lie `inner` apart. Two passes over them, three with log_probabilities.
template <class T, class I>
__global__ void __launch_bounds__(256) label_rows_kernel(const T* scores, const I* labels, const T* weights, LabelRule rule, int64_t classes, int64_t inner,
                                                         T* log_probabilities, double* losses) {
  using V = Real<T>;
  __shared__ V scratch[kWarp];
  const int64_t row = blockIdx.x, base = row / inner * classes * inner + row % inner;
  V max = -std::numeric_limits<V>::infinity(), sum = 0;
  for (int64_t i = threadIdx.x; i < classes; i += blockDim.x) max = MaxOf()(max, static_cast<V>(widened(scores[base + i * inner])));
  max = over_block(MaxOf(), max, -std::numeric_limits<V>::infinity(), scratch);
  for (int64_t i = threadIdx.x; i < classes; i += blockDim.x) sum += exp(static_cast<V>(widened(scores[base + i * inner])) - max);
  const V log_sum = log(over_block(SumOf(), sum, V(0), scratch));
  const auto logarithm = [&](int64_t i) { return static_cast<V>(widened(scores[base + i * inner])) - max - log_sum; };
  for (int64_t i = threadIdx.x; log_probabilities != nullptr && i < classes; i += blockDim.x) {
    log_probabilities[base + i * inner] = narrowed<T>(logarithm(i));
  }
  if (threadIdx.x == 0) label_loss(static_cast<int64_t>(labels[row]), weights, rule, classes, losses + 2 * row, logarithm);
}

/// A thread has one row of logarithms that are there already.
template <class T, class I>
__global__ void __launch_bounds__(256) likelihood_rows_kernel(const T* log_probabilities, const I* labels, const T* weights, LabelRule rule, int64_t rows,
                                                              int64_t classes, int64_t inner, double* losses) {
  const int64_t row = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (row >= rows) return;
  const int64_t base = row / inner * classes * inner + row % inner;
  label_loss(static_cast<int64_t>(labels[row]), weights, rule, classes, losses + 2 * row,
             [&](int64_t i) { return widened(log_probabilities[base + i * inner]); });
}

/// One block adds up all rows.
template <class T>
__global__ void __launch_bounds__(1024) reduce_losses_kernel(const double* losses, int64_t rows, bool is_mean, T* loss) {
  __shared__ double scratch[kWarp];
  double sum = 0, weight = 0;
  for (int64_t i = threadIdx.x; i < rows; i += blockDim.x) {
    sum += losses[2 * i];
    weight += losses[2 * i + 1];
  }
  sum = over_block(SumOf(), sum, 0.0, scratch);
  weight = over_block(SumOf(), weight, 0.0, scratch);
  if (threadIdx.x == 0) *loss = narrowed<T>(is_mean ? sum / weight : sum);
}

template <class T>
__global__ void __launch_bounds__(256) store_losses_kernel(const double* losses, int64_t rows, T* loss) {
  const int64_t row = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (row < rows) loss[row] = narrowed<T>(losses[2 * row]);
}

template <class T>
Status finish(const double* losses, int64_t rows, LossReduction reduction, void* loss, cudaStream_t stream) {
  if (reduction == LossReduction::kNone) {
    return launch(store_losses_kernel<T>, grid_for(rows, 256), 256, 0, stream, losses, rows, static_cast<T*>(loss));
  }
  return launch(reduce_losses_kernel<T>, 1, 1024, 0, stream, losses, rows, reduction == LossReduction::kMean, static_cast<T*>(loss));
}

}  // namespace

int64_t label_loss_workspace(const LossSizes& sizes) { return sizes.batch * sizes.inner * 2 * static_cast<int64_t>(sizeof(double)); }

Status softmax_cross_entropy_loss(DType type, const void* scores, const Indices& labels, const void* weights, bool has_ignored, int64_t ignored,
                                  LossReduction reduction, void* loss, void* log_probabilities, const LossSizes& sizes, void* workspace, cudaStream_t stream) {
  const int64_t rows = sizes.batch * sizes.inner;
  HALO_REQUIRE(rows <= kMostBlocksX, "at most " << kMostBlocksX << " rows", rows, "Take a smaller batch or a shorter sequence.");
  auto* losses = static_cast<double*>(workspace);
  return dispatch_real(type, [&]<class T>() {
    HALO_RETURN_IF_ERROR(dispatch_index(labels.type, [&]<class I>() {
      return launch(label_rows_kernel<T, I>, static_cast<unsigned>(rows), 256, 0, stream, static_cast<const T*>(scores), static_cast<const I*>(labels.data),
                    static_cast<const T*>(weights), LabelRule{has_ignored, ignored}, sizes.classes, sizes.inner, static_cast<T*>(log_probabilities), losses);
    }));
    return finish<T>(losses, rows, reduction, loss, stream);
  });
}

Status negative_log_likelihood_loss(DType type, const void* log_probabilities, const Indices& labels, const void* weights, bool has_ignored, int64_t ignored,
                                    LossReduction reduction, void* loss, const LossSizes& sizes, void* workspace, cudaStream_t stream) {
  const int64_t rows = sizes.batch * sizes.inner;
  auto* losses = static_cast<double*>(workspace);
  return dispatch_real(type, [&]<class T>() {
    HALO_RETURN_IF_ERROR(dispatch_index(labels.type, [&]<class I>() {
      return launch(likelihood_rows_kernel<T, I>, grid_for(rows, 256), 256, 0, stream, static_cast<const T*>(log_probabilities),
                    static_cast<const I*>(labels.data), static_cast<const T*>(weights), LabelRule{has_ignored, ignored}, rows, sizes.classes, sizes.inner,
                    losses);
    }));
    return finish<T>(losses, rows, reduction, loss, stream);
  });
}

}  // namespace halo::cuda
