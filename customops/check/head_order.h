// Heads in both layouts, for the checks of kernels that take either.
#pragma once

#include <cstdint>
#include <vector>

#include "common/head_layout.h"

namespace halo::check {

/// x (B, H, T, D) as (B, T, H, D).
template <class T>
std::vector<T> as_bshd(const std::vector<T>& x, int64_t heads, int64_t tokens, int64_t dim) {
  std::vector<T> y(x.size());
  for (int64_t i = 0; i < static_cast<int64_t>(x.size()); ++i) {
    const int64_t d = i % dim, token = i / dim % tokens, head = i / dim / tokens % heads, batch = i / dim / tokens / heads;
    y[static_cast<size_t>(((batch * tokens + token) * heads + head) * dim + d)] = x[static_cast<size_t>(i)];
  }
  return y;
}

/// The same of sizes: those of heads (B, T, H, D).
template <class S>
S in_bshd(S sizes) {
  sizes.layout = HeadLayout::kBshd;
  return sizes;
}

}  // namespace halo::check
