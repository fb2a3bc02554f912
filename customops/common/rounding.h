// Rounding up or down by chance, so that what is smaller than half a step is not lost: the mean of many roundings is the number itself.
#pragma once

#include "common/philox.h"

namespace halo {

/// x rounded to one of the two neighbours in bfloat16, to the farther from 0 with a probability of bits / 2^16 below the distance to the nearer;
/// `bits` are 16. An infinity stays one, a NaN becomes the one of all signs.
inline HALO_HD BFloat16 round_by_chance(float x, uint32_t bits) {
  const uint32_t code = std::bit_cast<uint32_t>(x);
  return {static_cast<uint16_t>(x != x ? 0x7FC0u : (code + bits) >> 16)};  // an infinity has zeros where bits are added
}

/// The half word i, 0 to 7, of a block of random words.
inline HALO_HD uint32_t half_of(const PhiloxBlock& block, int i) { return block.words[i / 2] >> (i % 2 * 16) & 0xFFFFu; }

/// Where the random bits of one tensor come from: a step and a seed that the graph computes, and the tensor's number among those of the run.
struct ChanceSource {
  static constexpr int64_t kMostTensors = int64_t{1} << 29;

  const int64_t *step = nullptr, *seed = nullptr;  // on the device of what reads them; null where nothing is rounded
  int64_t tensor = 0;

  /// Streams of kMostTensors tensors begin at `first`.
  HALO_HD PhiloxStream stream(uint32_t first) const {
    return {static_cast<uint64_t>(*seed), static_cast<uint32_t>(*step), first + static_cast<uint32_t>(tensor)};
  }
};

}  // namespace halo
