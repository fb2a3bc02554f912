// Tensors kept as int8 codes, a float32 scale for each run of neighbours, x ~ q * scale.
#pragma once

#include <algorithm>

#include "common/codes.h"
#include "common/shape.h"

namespace halo {

/// Neighbours that share a scale: 3 % of the codes' bytes are scales, and an outlier costs 127 others their digits.
inline constexpr int64_t kCodeBlock = 128;

inline int64_t code_blocks(int64_t count) { return (count + kCodeBlock - 1) / kCodeBlock; }

/// A tensor as its codes.
struct BlockCodes {
  const uint8_t* codes;
  const float* scales;
};

/// Sizes of the scales of a tensor.
inline Shape shape_of_scales(const Shape& x) {
  const bool is_known = std::ranges::find(x.sizes(), Shape::kUnknown) == x.sizes().end();
  return {is_known ? code_blocks(x.count()) : Shape::kUnknown};
}

/// What a block's elements are multiplied by to be codes, and codes by to be elements.
struct BlockScale {
  float inverse, scale;

  /// By the bits of the largest magnitude: 127 becomes it. NaN where an element is not finite, since int8 has no code for that; 1 where no normal float32.
  static HALO_HD BlockScale of(uint32_t magnitude) {
    const float largest = std::bit_cast<float>(magnitude), exact = largest / Int8::kQMax;
    if (magnitude >= detail::kInfinity) return {1.0f, std::bit_cast<float>(0x7FC00000u)};
    if (exact < detail::power_of_two(-126)) return {1.0f, 1.0f};
    return {Int8::kQMax / largest, exact};
  }
};

}  // namespace halo
