// A function called with the C++ type that an element type stands for. A type without one is refused: nothing is read as another type.
#pragma once

#include <string>
#include <type_traits>

#include "common/dtype.h"
#include "common/status.h"

namespace halo {

/// C++ types that have an element type each.
template <class... T>
struct TypeList {
  static constexpr bool has(DType type) { return ((type == dtype_of<T>()) || ...); }

  /// "float, bfloat16, float16".
  static std::string names() {
    std::string all;
    for (const DType type : {dtype_of<T>()...}) {
      if (!all.empty()) all += ", ";
      all += name_of(type);
    }
    return all;
  }
};

/// Types that kernels compute in float32.
using FloatTypes = TypeList<float, BFloat16, Float16>;
using RealTypes = TypeList<float, BFloat16, Float16, double>;
using IndexTypes = TypeList<int32_t, int64_t>;
using NumberTypes = TypeList<float, BFloat16, Float16, double, int32_t, int64_t>;

namespace detail {

/// What f.operator()<T>() returns; success where it returns nothing.
template <class T, class F>
Status status_of_call(F&& f) {
  if constexpr (std::is_void_v<decltype(f.template operator()<T>())>) {
    f.template operator()<T>();
    return {};
  } else {
    return f.template operator()<T>();
  }
}

}  // namespace detail

/// Calls f.operator()<T>() with the type of the list that `type` stands for.
template <class... T, class F>
Status dispatch(TypeList<T...>, DType type, F&& f) {
  Status status;
  const bool is_known = ((type == dtype_of<T>() && (static_cast<void>(status = detail::status_of_call<T>(f)), true)) || ...);
  return is_known ? status : refuse(__FILE__, __LINE__, std::string("a tensor of ").append(TypeList<T...>::names()), name_of(type), "Cast it to one of them.");
}

/// Calls f.operator()<T>() with the float type of a tensor.
template <class F>
Status dispatch(DType type, F&& f) {
  return dispatch(FloatTypes(), type, f);
}

}  // namespace halo
