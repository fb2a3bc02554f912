// max |x| of a tensor, NaN where an element is one: what a Quantize of it wants to know.
#pragma once

#include <atomic>
#include <bit>
#include <cstdint>

#include "common/dtype.h"
#include "common/executor.h"

namespace halo {

/// Bits of max |x|: on magnitudes the order of floats is that of their bits, with NaN above Inf.
template <class T>
uint32_t absolute_max_bits(const T* x, int64_t count) {
  uint32_t max = 0;
  for (int64_t i = 0; i < count; ++i) {
    const uint32_t bits = std::bit_cast<uint32_t>(to_float(x[i])) & 0x7FFFFFFFu;
    max = bits > max ? bits : max;
  }
  return max;
}

/// The same of all pieces; a maximum is one of the elements, whatever the order.
template <class T>
void absolute_max_cpu(const T* x, int64_t count, float* result, const Executor& executor) {
  std::atomic<uint32_t> largest{0};
  executor.parallel_for(count, kGrain, [x, &largest](int64_t begin, int64_t end) {
    const uint32_t bits = absolute_max_bits(x + begin, end - begin);
    uint32_t seen = largest.load();
    while (bits > seen && !largest.compare_exchange_weak(seen, bits)) {
    }
  });
  *result = std::bit_cast<float>(largest.load());
}

}  // namespace halo
