// Random bits that are a function of their place: no state, so that the CPU and a GPU, in any order of threads, draw the same.
#pragma once

#include <cstdint>

#include "common/dtype.h"

namespace halo {

/// Four words of 32 random bits.
struct PhiloxBlock {
  uint32_t words[4];
};

/// Philox4x32-10: ten rounds that mix a counter of four words under a key of two. [Salmon et al. 2011, Parallel random numbers: as easy as 1, 2, 3]
inline HALO_HD PhiloxBlock philox(PhiloxBlock counter, uint32_t key0, uint32_t key1) {
  for (int round = 0; round < 10; ++round) {
    const uint64_t even = uint64_t{0xD2511F53} * counter.words[0], odd = uint64_t{0xCD9E8D57} * counter.words[2];
    counter = {{static_cast<uint32_t>(odd >> 32) ^ counter.words[1] ^ key0, static_cast<uint32_t>(odd),
                static_cast<uint32_t>(even >> 32) ^ counter.words[3] ^ key1, static_cast<uint32_t>(even)}};
    key0 += 0x9E3779B9;  // the golden ratio's and sqrt(3) - 1's first 32 bits
    key1 += 0xBB67AE85;
  }
  return counter;
}

/// The random words of one tensor in one step: those of other seeds, steps and streams (one for each tensor that draws) have nothing to do with them.
struct PhiloxStream {
  uint64_t seed;
  uint32_t step;
  uint32_t stream;

  /// The words of elements 4 index to 4 index + 3.
  HALO_HD PhiloxBlock block(uint64_t index) const {
    return philox({{static_cast<uint32_t>(index), static_cast<uint32_t>(index >> 32), step, stream}}, static_cast<uint32_t>(seed),
                  static_cast<uint32_t>(seed >> 32));
  }

  /// The word of one element; neighbours share a block, so a loop over many asks for blocks.
  HALO_HD uint32_t word(uint64_t element) const { return block(element / 4).words[element % 4]; }
};

/// Uniform in [0, 1), in steps of 2^-24: exact in float32.
inline HALO_HD float uniform(uint32_t word) { return static_cast<float>(word >> 8) * 0x1p-24f; }

}  // namespace halo
