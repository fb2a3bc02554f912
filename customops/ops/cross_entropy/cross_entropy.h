// The mean negative log-likelihood of labels under rows of logits.
#pragma once

#include <cstdint>

#include "common/executor.h"
#include "common/status.h"

#ifdef HALO_CUDA
#include "provider/kernels/tensor.h"
#endif

namespace halo {

/// logits: (rows, classes), labels, log_sum_exp: (rows). loss = the mean, over rows whose label is not `ignored`, of log_sum_exp - logit[label],
/// summed in float64 in the order of the rows; NaN where no row counts. log_sum_exp is that of every row.
/// Reads the logits twice, the second time from cache; an exponential an element in float32, added in float64.
/// `row_losses` has room for `rows` doubles. Refuses a label that is neither `ignored` nor in [0, classes).
template <class T>
Status cross_entropy_cpu(const T* logits, const int64_t* labels, float* loss, float* log_sum_exp, int64_t rows, int64_t classes, int64_t ignored,
                         double* row_losses, const Executor& executor);

/// Refuses a label that is neither `ignored` nor in [0, classes); counts the rows whose label is not `ignored`.
Status count_labels(const int64_t* labels, int64_t rows, int64_t classes, int64_t ignored, int64_t* counted);

#ifdef HALO_CUDA
/// Bytes of workspace for cross_entropy_cuda.
int64_t cross_entropy_workspace_cuda(int64_t rows);

/// As cross_entropy_cpu, except that a label that is neither `ignored` nor a class makes the loss NaN: a kernel cannot refuse. A block has a row, of
/// which there are at most 2^31 - 1.
Status cross_entropy_cuda(DType type, const void* logits, const int64_t* labels, float* loss, float* log_sum_exp, int64_t rows, int64_t classes,
                          int64_t ignored, void* workspace, cudaStream_t stream);

/// The mean of row_losses (rows) over the rows whose label is not `ignored`, in float64, by one block.
Status mean_loss_cuda(const double* row_losses, const int64_t* labels, int64_t rows, int64_t ignored, float* loss, cudaStream_t stream);
#endif

}  // namespace halo
