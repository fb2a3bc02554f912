// Tensors of 16-bit types in float32 and back; float32 ones are used as they are.
#pragma once

#include <cstdint>
#include <type_traits>

#include "common/dtype.h"
#include "common/executor.h"

namespace halo {

/// x itself, or its float32 values at `work`, which moves behind them.
template <class T>
const float* widen(const T* x, int64_t count, float*& work, const Executor& executor) {
  if constexpr (std::is_same_v<T, float>) {
    return x;
  } else {
    float* values = work;
    work += count;
    executor.parallel_for(count, kGrain, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) values[i] = to_float(x[i]);
    });
    return values;
  }
}

/// Calls compute(float*) with y itself, or with `work` and rounds what it wrote there into y.
template <class T, class F>
void narrow(T* y, int64_t count, float* work, const Executor& executor, F&& compute) {
  if constexpr (std::is_same_v<T, float>) {
    compute(y);
  } else {
    compute(work);
    executor.parallel_for(count, kGrain, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) y[i] = from_float<T>(work[i]);
    });
  }
}

}  // namespace halo
