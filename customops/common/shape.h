// Sizes of a tensor; -1 where one is not known, which happens in shape inference only.
#pragma once

#include <algorithm>
#include <cstdint>
#include <initializer_list>
#include <ostream>
#include <span>
#include <vector>

#include "common/dtype.h"

namespace halo {

class Shape {
 public:
  static constexpr int64_t kUnknown = -1;

  Shape() = default;
  Shape(std::initializer_list<int64_t> sizes) : Shape(std::span(sizes.begin(), sizes.size())) {}
  explicit Shape(std::span<const int64_t> sizes) : rank_(static_cast<int>(sizes.size())) {
    if (rank_ > kNear) {
      far_.assign(sizes.begin(), sizes.end());
    } else {
      std::copy(sizes.begin(), sizes.end(), near_);
    }
  }

  int rank() const { return rank_; }
  std::span<const int64_t> sizes() const { return {rank_ > kNear ? far_.data() : near_, static_cast<size_t>(rank_)}; }

  /// A negative axis counts from the end.
  int64_t operator[](int axis) const { return sizes()[static_cast<size_t>(axis < 0 ? axis + rank() : axis)]; }

  int64_t count() const { return count(0, rank()); }

  /// The product of the sizes of axes [first, last).
  int64_t count(int first, int last) const {
    int64_t n = 1;
    for (int axis = first; axis < last; ++axis) n *= (*this)[axis];
    return n;
  }

  /// True unless two known sizes differ.
  bool may_equal(const Shape& other) const {
    const auto own = sizes(), others = other.sizes();
    return std::equal(own.begin(), own.end(), others.begin(), others.end(), [](int64_t a, int64_t b) { return may_equal(a, b); });
  }

  static bool may_equal(int64_t a, int64_t b) { return a == b || a == kUnknown || b == kUnknown; }

 private:
  /// Ranks up to which a shape takes no memory of its own: a kernel makes some at each run.
  static constexpr int kNear = 8;

  int rank_ = 0;
  int64_t near_[kNear] = {};
  std::vector<int64_t> far_;  // of a higher rank
};

inline std::ostream& operator<<(std::ostream& out, const Shape& shape) {
  out << '[';
  for (int axis = 0; axis < shape.rank(); ++axis) {
    out << (axis > 0 ? ", " : "");
    if (shape[axis] == Shape::kUnknown) {
      out << '?';
    } else {
      out << shape[axis];
    }
  }
  return out << ']';
}

/// What is known of an input or output; an optional input that is left out is absent.
struct TensorType {
  DType type = DType::kUndefined;
  Shape shape;
  bool present = true;
};

using Types = std::span<const TensorType>;
using ResultTypes = std::span<TensorType>;

}  // namespace halo
