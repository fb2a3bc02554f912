// Root-mean-square normalization of rows. [Zhang and Sennrich 2019]
#pragma once

#include <cstdint>

#include "common/executor.h"

namespace halo {

/// X, Y: (rows, columns), weight: (columns), inv_rms: (rows), row-major, Y may be X.
/// inv_rms = 1 / sqrt(mean(x^2) + epsilon), the mean in float64; y = x * inv_rms * weight in float32.
/// Reads X twice, the second time from cache, and writes Y once; bound by memory.
template <class T>
void rms_norm_cpu(const T* x, const T* weight, T* y, float* inv_rms, int64_t rows, int64_t columns, float epsilon, const Executor& executor);

}  // namespace halo
