// How the heads of a tensor lie in memory.
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string_view>

namespace halo {

/// Axes from the outermost on, in cuDNN's words: batch, heads, sequence, dim. kBhsd is (B, H, T, D); kBshd is (B, T, H, D), as linear layers give and want
/// them.
enum class HeadLayout { kBhsd, kBshd };

/// The layout that an operator's attribute names, "" where it is missing; none where there is no such layout.
constexpr std::optional<HeadLayout> head_layout(std::string_view name) {
  if (name.empty() || name == "bhsd") return HeadLayout::kBhsd;
  if (name == "bshd") return HeadLayout::kBshd;
  return std::nullopt;
}

/// Where the row of channels of each (batch row, head, token) lies, in elements.
struct HeadStrides {
  int64_t batch, head, token;

  auto operator<=>(const HeadStrides&) const = default;
};

/// (B, H, T, D) with `tokens` rows a head, of which each tensor may use a part.
constexpr HeadStrides by_head(int64_t heads, int64_t tokens, int64_t dim) { return {.batch = heads * tokens * dim, .head = tokens * dim, .token = dim}; }

/// (B, T, W), the heads side by side in rows of W elements.
constexpr HeadStrides by_token(int64_t tokens, int64_t width, int64_t dim) { return {.batch = tokens * width, .head = dim, .token = width}; }

constexpr HeadStrides head_strides(HeadLayout layout, int64_t heads, int64_t tokens, int64_t dim) {
  return layout == HeadLayout::kBhsd ? by_head(heads, tokens, dim) : by_token(tokens, heads * dim, dim);
}

}  // namespace halo
