// Multiprocessors that products leave to the collectives that run beside them.
#pragma once

#include <atomic>

namespace halo::cuda {

/// 0 where there are none. A product of cuBLASLt has a block for each multiprocessor, which stays until the product is over: one that a collective holds lets
/// its block begin when all others have ended, and the product takes twice as long.
inline std::atomic<int>& left_multiprocessors() {
  static std::atomic<int> count = 0;
  return count;
}

}  // namespace halo::cuda
