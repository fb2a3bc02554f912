// Gates for the checks of SwiGLU and of its gradient.
#pragma once

#include <string>
#include <vector>

#include "check/check.h"

namespace halo::check::swi_glu {

/// fast_sigmoid is 0 where e^-x overflows, below -88.7: what is lost is less than 2^-126 of what it would be multiplied with.
inline constexpr double kFlushed = 0x1p-126;

/// check(gates, what) with normal gates of every remainder and several threads, with all that e^-x holds, and with special ones.
template <class Check>
void check_gates(const Check& check, const std::string& what) {
  for (const int64_t count : {0, 1, 7, 16, 33, 20000, 50001}) check(normal(count, 1), what + " of " + std::to_string(count));
  std::vector<float> wide;
  for (float g = -120; g <= 120; g += 0.25f) wide.push_back(g);
  check(wide, what + " wide");
  check(std::vector<float>{0.0f, -0.0f, 1e-30f, -1e4f, 1e4f}, what + " special");
}

}  // namespace halo::check::swi_glu
