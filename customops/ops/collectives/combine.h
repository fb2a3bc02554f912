// How two elements are combined, on a CPU and on a GPU.
#pragma once

#include <type_traits>

#include "common/dtype.h"

namespace halo::combination {

/// What elements of T are combined in.
template <class T>
HALO_HD auto number(T x) {
  if constexpr (std::is_integral_v<T>) {
    return x;
  } else {
    return to_float(x);
  }
}

template <class T, class N>
HALO_HD T element(N x) {
  if constexpr (std::is_integral_v<T>) {
    return x;
  } else {
    return from_float<T>(x);
  }
}

struct Sum {
  /// Integers wrap around.
  template <class N>
  HALO_HD N operator()(N a, N b) const {
    if constexpr (std::is_integral_v<N>) {
      using Unsigned = std::make_unsigned_t<N>;
      return static_cast<N>(static_cast<Unsigned>(a) + static_cast<Unsigned>(b));
    } else {
      return a + b;
    }
  }
};

struct Largest {
  /// NaN where one is NaN.
  template <class N>
  HALO_HD N operator()(N a, N b) const {
    return b > a || b != b ? b : a;
  }
};

/// Element i of `parts_count` parts of `count` elements, in order.
template <class F, class T>
HALO_HD T combined(const T* parts, int64_t parts_count, int64_t count, int64_t i) {
  auto total = number(parts[i]);
  for (int64_t part = 1; part < parts_count; ++part) total = F()(total, number(parts[part * count + i]));
  return element<T>(total);
}

}  // namespace halo::combination
