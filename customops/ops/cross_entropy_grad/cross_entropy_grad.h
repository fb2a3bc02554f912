// The gradient of the mean negative log-likelihood.
#pragma once

#include <cstdint>

#include "common/executor.h"
#include "common/status.h"

#ifdef HALO_CUDA
#include "provider/kernels/tensor.h"
#endif

namespace halo {

/// logits, dLogits: (rows, classes), labels, log_sum_exp: (rows). dLogits = (e^(logit - log_sum_exp) - onehot(label)) * dloss / (counted rows),
/// 0 in rows whose label is `ignored`, whatever their logits; dLogits may be logits.
/// Reads and writes each element once, with an exponential in float32.
/// Refuses a label that is neither `ignored` nor in [0, classes).
template <class T>
Status cross_entropy_grad_cpu(float dloss, const T* logits, const int64_t* labels, const float* log_sum_exp, T* dlogits, int64_t rows, int64_t classes,
                              int64_t ignored, const Executor& executor);

#ifdef HALO_CUDA
/// Bytes of workspace for cross_entropy_grad_cuda: the number of rows that count.
int64_t cross_entropy_grad_workspace_cuda();

/// As cross_entropy_grad_cpu with dloss on the device, except that a row whose label is neither `ignored` nor a class becomes NaN. At most 2^31 - 1
/// rows.
Status cross_entropy_grad_cuda(DType type, const float* dloss, const void* logits, const int64_t* labels, const float* log_sum_exp, void* dlogits, int64_t rows,
                               int64_t classes, int64_t ignored, void* workspace, cudaStream_t stream);

/// The number of labels that are not `ignored`, by one block.
Status count_labels_cuda(const int64_t* labels, int64_t rows, int64_t ignored, double* counted, cudaStream_t stream);
#endif

}  // namespace halo
