// Hadamard matrices H_n = n^(-1/2) (A_K (x) S_(2^k)), n = K 2^k, as Hadamard.cs has them: the same K and the same signs.
#pragma once

#include <cstdint>
#include <vector>

#include "common/hadamard_signs.h"

namespace halo {

struct HadamardOrder {
  int64_t order = 0;  // K; 0 where no matrix of this size is known
  int log2 = 0;       // k
};

HadamardOrder hadamard_order(int64_t n);

/// A_K row by row, +1 or -1; K as hadamard_order gives it. [Paley 1933; Williamson 1944]
std::vector<float> hadamard_signs(int64_t order);

/// The same matrix as a rule.
SignRule hadamard_sign_rule(int64_t order);

}  // namespace halo
