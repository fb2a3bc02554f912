// Philox against the known answers of its authors, and its streams against each other.
#include <cmath>
#include <set>

#include "check/check.h"
#include "common/philox.h"

namespace halo::check {

// Counter, key, words. [Random123 1.14, tests/kat_vectors, philox4x32 10]
HALO_CHECK(philox_gives_the_known_answers) {
  const struct {
    PhiloxBlock counter;
    uint32_t key[2];
    PhiloxBlock words;
  } answers[] = {
      {{{0, 0, 0, 0}}, {0, 0}, {{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}}},
      {{{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}}, {0xffffffff, 0xffffffff}, {{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}}},
      {{{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}}, {0xa4093822, 0x299f31d0}, {{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}}},
  };
  for (const auto& [counter, key, words] : answers) {
    const PhiloxBlock found = philox(counter, key[0], key[1]);
    expect(same(found.words, words.words, 4), "words of key " + std::to_string(key[0]));
  }
}

HALO_CHECK(philox_streams_differ_and_are_uniform) {
  constexpr int kCount = 40000;
  const PhiloxStream streams[] = {{7, 1, 0}, {8, 1, 0}, {7, 2, 0}, {7, 1, 1}, {uint64_t{7} << 32, 1, 0}};
  std::set<uint32_t> firsts;
  for (const PhiloxStream& stream : streams) {
    firsts.insert(stream.word(0));
    double sum = 0, squares = 0;
    for (uint64_t i = 0; i < kCount; ++i) {
      const double u = uniform(stream.word(i));
      expect(u >= 0 && u < 1, "a number outside [0, 1)");
      expect(stream.word(i) == stream.block(i / 4).words[i % 4], "a word and its block");
      sum += u;
      squares += u * u;
    }
    // Five standard errors of the mean (1 / sqrt(12 n)) and of the mean square (sqrt(4 / 45 / n)).
    expect_near(sum / kCount, 0.5, 5 / std::sqrt(12.0 * kCount), "mean");
    expect_near(squares / kCount, 1.0 / 3, 5 * std::sqrt(4.0 / 45 / kCount), "mean square");
  }
  expect(firsts.size() == std::size(streams), "two streams begin alike");
  expect(PhiloxStream{7, 1, 0}.word(uint64_t{1} << 34) != PhiloxStream{7, 1, 0}.word(0), "elements beyond 2^32 blocks repeat");
  expect(uniform(0) == 0 && uniform(0xffffffff) == 1 - 0x1p-24f, "bounds of uniform");
}

}  // namespace halo::check
