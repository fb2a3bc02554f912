// The sign of any element of A_K from its construction, small enough to be an argument of a kernel.
#pragma once

#include <cstdint>

#include "common/dtype.h"

namespace halo {

/// How an element of A_K follows from a few bits; a set bit is a minus.
struct SignRule {
  enum Kind : int { kNone, kOne, kPaley1, kPaley2, kWilliamson };
  Kind kind = kNone;
  bool is_doubled = false;  // [[1, 1], [1, -1]] (x) the matrix of half the order
  int order = 0;            // of the matrix that is constructed, before doubling
  uint32_t bits[32] = {};   // kPaley: chi(i) at bit i. kWilliamson: first row r of the four at bits 64 r and on

  HALO_HD bool bit(int i) const { return ((bits[i / 32] >> (i % 32)) & 1) != 0; }

  /// Whether element (i, j) is -1. [Paley 1933; Williamson 1944]
  HALO_HD bool is_minus(int i, int j) const {
    const bool is_flipped = is_doubled && i >= order && j >= order;
    return single(i >= order ? i - order : i, j >= order ? j - order : j) != is_flipped;
  }

  /// Rows and columns of the matrix, doubled where it is.
  HALO_HD int size() const { return is_doubled ? 2 * order : order; }

 private:
  static HALO_HD int wrapped(int difference, int n) { return difference < 0 ? difference + n : difference; }

  HALO_HD bool single(int i, int j) const {
    switch (kind) {
      case kPaley1:
        if (i == 0 || i == j) return false;
        return j == 0 || bit(wrapped(i - j, order - 1));
      case kPaley2: {
        const int row = i / 2, column = j / 2;
        if (row == column) return i % 2 != 0 || j % 2 != 0;
        const bool is_negative = row != 0 && column != 0 && bit(wrapped(row - column, order / 2 - 1));
        return is_negative != (i % 2 == 1 && j % 2 == 1);
      }
      case kWilliamson: {
        const int n = order / 4, a = i / n, b = j / n;
        // Blocks A, B, C, D by a xor b, with the signs of [[+, +, +, +], [-, +, -, +], [-, +, +, -], [-, -, +, +]]: a set bit of the row is a minus.
        const int minus[4] = {0, 0b0101, 0b1001, 0b0011};
        return bit(64 * (a ^ b) + wrapped(j % n - i % n, n)) != (((minus[a] >> b) & 1) != 0);
      }
      default:
        return false;
    }
  }
};

}  // namespace halo
