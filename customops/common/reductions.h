// Reductions along a row. Additions keep their order, so that a compiler does not vectorise a plain sum: here 16 run side by side.
#pragma once

#include <cstdint>
#include <limits>

namespace halo {

namespace detail {

constexpr int kLanes = 16;

}  // namespace detail

/// The sum of term(i) over [0, n), in float64; the order hangs on n alone. `term` has no branches and gives float or double.
template <class F>
inline double sum_of(int64_t n, F&& term) {
  double sums[detail::kLanes] = {};
  int64_t i = 0;
  for (; i + detail::kLanes <= n; i += detail::kLanes) {
    for (int l = 0; l < detail::kLanes; ++l) sums[l] += static_cast<double>(term(i + l));
  }
  for (; i < n; ++i) sums[0] += static_cast<double>(term(i));
  double sum = 0;
  for (int l = 0; l < detail::kLanes; ++l) sum += sums[l];
  return sum;
}

/// The largest term(i) that is no NaN; -Inf where there is none.
template <class F>
inline float max_of(int64_t n, F&& term) {
  float maxima[detail::kLanes];
  for (int l = 0; l < detail::kLanes; ++l) maxima[l] = -std::numeric_limits<float>::infinity();
  int64_t i = 0;
  for (; i + detail::kLanes <= n; i += detail::kLanes) {
    for (int l = 0; l < detail::kLanes; ++l) {
      const float v = term(i + l);
      maxima[l] = v > maxima[l] ? v : maxima[l];
    }
  }
  for (; i < n; ++i) {
    const float v = term(i);
    maxima[0] = v > maxima[0] ? v : maxima[0];
  }
  float max = maxima[0];
  for (int l = 1; l < detail::kLanes; ++l) max = maxima[l] > max ? maxima[l] : max;
  return max;
}

}  // namespace halo
