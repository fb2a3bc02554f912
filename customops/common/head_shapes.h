// Shapes of tensors with heads, and the attribute that says how these lie.
#pragma once

#include <string>

#include "common/head_layout.h"
#include "common/shape.h"
#include "common/status.h"

namespace halo {

inline Status check_layout(const std::string& name) {
  HALO_REQUIRE(head_layout(name).has_value(), "layout bhsd or bshd", name, "Leave it out where heads are (B, H, T, D).");
  return {};
}

/// (B, H, T, D) of a shape in a layout; one of another rank as it is.
inline Shape by_head(const Shape& x, HeadLayout layout) { return x.rank() == 4 && layout == HeadLayout::kBshd ? Shape{x[0], x[2], x[1], x[3]} : x; }

}  // namespace halo
