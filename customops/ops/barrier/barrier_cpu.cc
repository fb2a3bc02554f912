#include <cstring>

#include "ops/barrier/barrier.h"

namespace halo {

void barrier_cpu(const void* x, void* y, int64_t bytes) {
  if (x != y && bytes > 0) std::memcpy(y, x, static_cast<size_t>(bytes));
}

}  // namespace halo
