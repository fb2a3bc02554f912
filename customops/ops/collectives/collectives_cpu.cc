#include "ops/collectives/collectives.h"

#include <cmath>

#include "common/dispatch.h"

namespace halo {

namespace {

template <class T>
auto number(T x) {
  if constexpr (std::is_integral_v<T>) {
    return x;
  } else {
    return to_float(x);
  }
}

template <class T, class N>
T element(N x) {
  if constexpr (std::is_integral_v<T>) {
    return x;
  } else {
    return from_float<T>(x);
  }
}

/// Integers wrap around.
template <class N>
N sum(N a, N b) {
  if constexpr (std::is_integral_v<N>) {
    using Unsigned = std::make_unsigned_t<N>;
    return static_cast<N>(static_cast<Unsigned>(a) + static_cast<Unsigned>(b));
  } else {
    return a + b;
  }
}

template <class N>
N largest(N a, N b) {
  if constexpr (!std::is_integral_v<N>) {
    if (std::isnan(b)) return b;
  }
  return b > a ? b : a;
}

template <class T, class F>
void combine(const T* parts, int64_t parts_count, int64_t count, T* y, F&& f) {
  for (int64_t i = 0; i < count; ++i) {
    auto total = number(parts[i]);
    for (int64_t part = 1; part < parts_count; ++part) total = f(total, number(parts[part * count + i]));
    y[i] = element<T>(total);
  }
}

}  // namespace

Status combine_cpu(DType type, Reduction reduction, const void* parts, int64_t parts_count, int64_t count, void* y) {
  return dispatch(TypeList<float, BFloat16, Float16, int32_t, int64_t>(), type, [&]<class T>() {
    const auto* x = static_cast<const T*>(parts);
    if (reduction == Reduction::kSum) {
      combine(x, parts_count, count, static_cast<T*>(y), [](auto a, auto b) { return sum(a, b); });
    } else {
      combine(x, parts_count, count, static_cast<T*>(y), [](auto a, auto b) { return largest(a, b); });
    }
  });
}

}  // namespace halo
