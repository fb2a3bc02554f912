#include "ops/adam_w_8_bit/adam_w_8_bit.h"

#include "check/check.h"

namespace halo::check::adam_w_8_bit {

namespace {

constexpr AdamWFactors kFactors{.beta1 = 0.9f, .rest1 = 0.1f, .beta2 = 0.999f, .rest2 = 0.001f, .epsilon = 1e-8f};

/// A moment that is kept.
struct Kept {
  std::vector<uint8_t> codes;
  std::vector<float> scales;

  explicit Kept(int64_t count) : codes(static_cast<size_t>(count)), scales(static_cast<size_t>(code_blocks(count)), 1.0f) {}
  CodedMoment in_place() { return {codes.data(), scales.data(), codes.data(), scales.data()}; }
  float operator[](size_t i) const { return E4M3::decode(codes[i]) * scales[i / kCodeBlock]; }
};

}  // namespace

HALO_CHECK(e4m3_by_chance_is_a_neighbour_and_right_on_average) {
  for (int code = 0; code < 0x7F; ++code) {
    const float x = E4M3::decode(static_cast<uint8_t>(code));
    for (const uint32_t bits : {0u, 1u, 0xFFFFu}) {
      expect(e4m3_by_chance(x, bits) == code && e4m3_by_chance(-x, bits) == (code | 0x80), "code " + std::to_string(code) + " is kept");
    }
    if (code == 0x7E) break;
    const float next = E4M3::decode(static_cast<uint8_t>(code + 1));
    for (const float part : {0.25f, 0.75f}) {
      const float between = x + part * (next - x);
      int64_t ups = 0;
      for (uint32_t bits = 0; bits < 0x10000; bits += 16) ups += e4m3_by_chance(between, bits) == code + 1;
      expect(static_cast<float>(ups) == part * 4096, "from code " + std::to_string(code) + " up as often as it lies there");
    }
  }
  expect(e4m3_by_chance(std::bit_cast<float>(0x43E00001u), 0xFFFFu) == 0x7E, "beyond the largest");
  expect(e4m3_by_chance(std::bit_cast<float>(0x7FC00000u), 7) == 0, "no number");
}

HALO_CHECK(adam_w_of_8_bits_follows_that_of_float) {
  constexpr int64_t kCount = 128 * 70 + 5;
  std::vector<float> p(kCount), exact_p(kCount), exact_m(kCount), exact_v(kCount);
  Kept m(kCount), v(kCount);
  const float scalars[3] = {1.0f, 1e-3f, 1.0f};
  for (int64_t step = 1; step <= 20; ++step) {
    auto gradient = normal(kCount, static_cast<uint32_t>(step));
    for (size_t i = 0; i < gradient.size(); ++i) gradient[i] = gradient[i] * 0.1f + (i % 3 == 0 ? 1.0f : 0.01f);  // sizes of two kinds in a block
    const int64_t numbers[2] = {step, 11};
    const AdamWStep at{
        .factor = scalars, .step_size = scalars + 1, .root2 = scalars + 2, .keep = nullptr, .chance = {.step = numbers, .seed = numbers + 1, .tensor = 3}};
    adam_w_cpu<float, float>({.p = exact_p.data(),
                              .gradient = gradient.data(),
                              .m = exact_m.data(),
                              .v = exact_v.data(),
                              .new_p = exact_p.data(),
                              .new_m = exact_m.data(),
                              .new_v = exact_v.data()},
                             at, kFactors, kCount, SerialExecutor());
    adam_w_8_bit_cpu<float, float>({.p = p.data(), .gradient = gradient.data(), .new_p = p.data(), .m = m.in_place(), .v = v.in_place()}, at, kFactors, kCount,
                                   ThreadedExecutor());
  }
  double of_m = 0, of_root = 0, m_size = 0, root_size = 0;
  for (size_t i = 0; i < p.size(); ++i) {
    const double root = std::sqrt(exact_v[i]);
    of_m += std::pow(m[i] - exact_m[i], 2);
    m_size += std::pow(exact_m[i], 2);
    of_root += std::pow(v[i] - root, 2);
    root_size += std::pow(root, 2);
    expect(exact_v[i] == 0 || v[i] > 0, "a second moment was rounded away");
  }
  // A rounding is off by less than 2^-3 of a number, its mean square by 1/6 of that: what is kept of ten of the first moment's stays below 0.15, of twenty of
  // the second's, which forgets nothing in that time, below 0.25.
  expect(std::sqrt(of_m / m_size) < 0.15, "first moment");
  expect(std::sqrt(of_root / root_size) < 0.25, "second moment");
}

}  // namespace halo::check::adam_w_8_bit
