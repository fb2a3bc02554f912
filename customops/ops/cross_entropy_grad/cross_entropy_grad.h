// The gradient of the mean negative log-likelihood.
#pragma once

#include <cstdint>

#include "common/executor.h"
#include "common/status.h"

namespace halo {

/// logits, dLogits: (rows, classes), labels, log_sum_exp: (rows). dLogits = (e^(logit - log_sum_exp) - onehot(label)) * dloss / (counted rows),
/// 0 in rows whose label is `ignored`, whatever their logits; dLogits may be logits.
/// Reads and writes each element once, with an exponential in float32.
/// Refuses a label that is neither `ignored` nor in [0, classes).
template <class T>
Status cross_entropy_grad_cpu(float dloss, const T* logits, const int64_t* labels, const float* log_sum_exp, T* dlogits, int64_t rows, int64_t classes,
                              int64_t ignored, const Executor& executor);

}  // namespace halo
