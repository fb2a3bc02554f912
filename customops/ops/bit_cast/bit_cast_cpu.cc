#include <cstring>

#include "ops/bit_cast/bit_cast.h"

namespace halo {

void bit_cast_cpu(const void* x, void* y, int64_t bytes) {
  if (x != y && bytes > 0) std::memcpy(y, x, static_cast<size_t>(bytes));
}

}  // namespace halo
