// log(sum(e^x)) of a row, on the CPU.
#pragma once

#include <cmath>

#include "common/dtype.h"
#include "common/reductions.h"
#include "common/vector_math.h"

namespace halo {

template <class T>
double log_sum_exp_of(const T* x, int64_t n) {
  const float max = max_of(n, [x](int64_t i) { return to_float(x[i]); });
  const float shift = std::isfinite(max) ? max : 0.0f;  // Inf - Inf would be NaN
  return static_cast<double>(shift) + std::log(sum_of(n, [x, shift](int64_t i) { return fast_exp(to_float(x[i]) - shift); }));
}

}  // namespace halo
