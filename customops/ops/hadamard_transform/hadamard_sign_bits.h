// The signs of A_K as bits, small enough to be an argument of a kernel.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <utility>

#include "common/hadamard_matrix.h"

namespace halo {

/// The largest K that kernels multiply by on the matrix units, and the steps of 16 that it takes.
inline constexpr int kMostOrder = 172, kMostSteps = 11;

/// A bit for each minus of A_K: of row r and columns 16 s to 16 s + 15 in bits[r][s].
struct SignBits {
  uint16_t bits[kMostOrder][kMostSteps] = {};
};

/// The bits of A_K, transposed unless `inverse`; made once.
inline const SignBits& sign_bits(int64_t order, bool inverse) {
  static std::mutex mutex;
  static std::map<std::pair<int64_t, bool>, std::unique_ptr<SignBits>> made;
  const std::lock_guard lock(mutex);
  auto& bits = made[{order, inverse}];
  if (bits == nullptr) {
    bits = std::make_unique<SignBits>();
    const SignRule rule = hadamard_sign_rule(order);
    for (int row = 0; row < order; ++row) {
      for (int column = 0; column < order; ++column) {
        const bool is_minus = inverse ? rule.is_minus(row, column) : rule.is_minus(column, row);
        if (is_minus) bits->bits[row][column / 16] |= static_cast<uint16_t>(1u << (column % 16));
      }
    }
  }
  return *bits;
}

}  // namespace halo
