// Reductions over a row in float32, by 16 partial results each, and rows of 16-bit types in float32.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <type_traits>

#include "common/dtype.h"
#include "common/executor.h"

namespace halo {

namespace detail {

typedef float Lanes __attribute__((vector_size(8 * sizeof(float))));

inline Lanes load(const float* x) {
  Lanes lanes;
  __builtin_memcpy(&lanes, x, sizeof lanes);
  return lanes;
}

}  // namespace detail

/// The largest element that is no NaN; -Inf if there is none.
inline float row_max(const float* x, int64_t count) {
  float max = -std::numeric_limits<float>::infinity();
  int64_t i = 0;
  if (count >= 16) {
    detail::Lanes a = max - detail::Lanes{}, b = a;
    for (; i + 16 <= count; i += 16) {
      const detail::Lanes x1 = detail::load(x + i), x2 = detail::load(x + i + 8);
      a = x1 > a ? x1 : a;
      b = x2 > b ? x2 : b;
    }
    a = b > a ? b : a;
    for (int l = 0; l < 8; ++l) max = a[l] > max ? a[l] : max;
  }
  for (; i < count; ++i) max = x[i] > max ? x[i] : max;
  return max;
}

inline float row_sum(const float* x, int64_t count) {
  detail::Lanes a{}, b{};
  int64_t i = 0;
  for (; i + 16 <= count; i += 16) {
    a += detail::load(x + i);
    b += detail::load(x + i + 8);
  }
  float sum = 0;
  for (; i < count; ++i) sum += x[i];
  a += b;
  for (int l = 0; l < 8; ++l) sum += a[l];
  return sum;
}

/// The sum of the products of two rows.
template <class T>
float row_dot(const float* x, const T* y, int64_t count) {
  detail::Lanes sums{};
  int64_t i = 0;
  for (; i + 8 <= count; i += 8) {
    float other[8];
    for (int l = 0; l < 8; ++l) other[l] = to_float(y[i + l]);
    sums += detail::load(x + i) * detail::load(other);
  }
  float sum = 0;
  for (; i < count; ++i) sum += x[i] * to_float(y[i]);
  for (int l = 0; l < 8; ++l) sum += sums[l];
  return sum;
}

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
