#include "ops/adam_w/adam_w.h"

#include "check/check.h"

namespace halo::check::adam_w {

namespace {

constexpr AdamWFactors kFactors{.beta1 = 0.9f, .rest1 = 0.1f, .beta2 = 0.999f, .rest2 = 0.001f, .epsilon = 1e-8f};
constexpr float kScalars[4] = {0.37f, 2e-3f, 0.7f, 0.998f};

AdamWStep step_of(const int64_t* numbers, int64_t tensor) {
  return {.factor = kScalars,
          .step_size = kScalars + 1,
          .root2 = kScalars + 2,
          .keep = kScalars + 3,
          .chance = {.step = numbers, .seed = numbers + 1, .tensor = tensor}};
}

}  // namespace

HALO_CHECK(adam_w_is_the_formula_one_operation_at_a_time) {
  for (const int64_t count : {1, 7, 100'000}) {
    const auto p = normal(count, 1), gradient = normal(count, 2), m = normal(count, 3);
    auto v = normal(count, 4);
    for (float& x : v) x *= x;
    Guarded<float> new_p(count), new_m(count), new_v(count);
    adam_w_cpu<float, float>(
        {.p = p.data(), .gradient = gradient.data(), .m = m.data(), .v = v.data(), .new_p = new_p.data(), .new_m = new_m.data(), .new_v = new_v.data()},
        step_of(nullptr, 0), kFactors, count, ThreadedExecutor());
    expect(new_p.intact() && new_m.intact() && new_v.intact(), "wrote outside");
    for (size_t i = 0; i < p.size(); ++i) {
      // Volatile: rounded after each operation, whatever the compiler contracts.
      volatile float g = gradient[i] * kScalars[0], gg = g * g, a = m[i] * 0.9f, b = g * 0.1f, c = v[i] * 0.999f, d = gg * 0.001f;
      volatile float mi = a + b, vi = c + d, root = std::sqrt(vi), scaled = root / kScalars[2], sum = scaled + 1e-8f, direction = mi / sum;
      volatile float old = p[i] * kScalars[3], change = direction * kScalars[1];
      const auto at = static_cast<int64_t>(i);
      expect(new_m[at] == mi && new_v[at] == vi && new_p[at] == old - change, "element " + std::to_string(i));
    }
  }
}

HALO_CHECK(adam_w_rounds_to_neighbours_that_mean_what_float_gives) {
  constexpr int64_t kCount = 20003;
  auto squares = normal(kCount, 4);
  for (float& x : squares) x *= x;
  const auto p = rounded<BFloat16>(normal(kCount, 1)), gradient = rounded<BFloat16>(normal(kCount, 2)), m = rounded<BFloat16>(normal(kCount, 3));
  const auto v = rounded<BFloat16>(squares);
  const auto wide = [](const std::vector<BFloat16>& values) {
    std::vector<float> floats;
    for (const BFloat16 x : values) floats.push_back(to_float(x));
    return floats;
  };
  const auto p_wide = wide(p), gradient_wide = wide(gradient), m_wide = wide(m), v_wide = wide(v);
  std::vector<float> exact[3] = {p_wide, m_wide, v_wide};
  adam_w_cpu<float, float>({.p = p_wide.data(),
                            .gradient = gradient_wide.data(),
                            .m = m_wide.data(),
                            .v = v_wide.data(),
                            .new_p = exact[0].data(),
                            .new_m = exact[1].data(),
                            .new_v = exact[2].data()},
                           step_of(nullptr, 0), kFactors, kCount, SerialExecutor());
  std::vector<BFloat16> before;
  for (int64_t step = 1; step <= 3; ++step) {
    const int64_t numbers[2] = {step, 11};
    Guarded<BFloat16> found[3] = {Guarded<BFloat16>(kCount), Guarded<BFloat16>(kCount), Guarded<BFloat16>(kCount)};
    adam_w_cpu<BFloat16, BFloat16>({.p = p.data(),
                                    .gradient = gradient.data(),
                                    .m = m.data(),
                                    .v = v.data(),
                                    .new_p = found[0].data(),
                                    .new_m = found[1].data(),
                                    .new_v = found[2].data()},
                                   step_of(numbers, 5), kFactors, kCount, ThreadedExecutor());
    for (int k = 0; k < 3; ++k) {
      expect(found[k].intact(), "wrote outside");
      double steps = 0;
      for (int64_t i = 0; i < kCount; ++i) {
        const float wanted = exact[k][static_cast<size_t>(i)], got = to_float(found[k][i]);
        // Off by float32 roundings of the direction besides. Steps of bfloat16 at this size, exact in float64.
        const double unit = std::ldexp(1.0, std::max(-126, std::ilogb(wanted)) - 7), error = (static_cast<double>(got) - wanted) / unit;
        expect(std::fabs(error) < 1 + 1e-3, "element " + std::to_string(i) + " is no neighbour");
        steps += error * (wanted < 0 ? -1 : 1);
      }
      // An error has a variance of at most 1/4 unit^2: five standard errors of the mean.
      expect_near(steps / static_cast<double>(kCount), 0, 5 * 0.5 / std::sqrt(static_cast<double>(kCount)), "mean error");
    }
    std::vector<BFloat16> now(found[0].data(), found[0].data() + kCount);
    expect(before.empty() || !same(before.data(), now.data(), kCount), "two steps round alike");
    before = std::move(now);
  }
}

HALO_CHECK(rounding_by_chance_keeps_what_is_exact_and_what_is_no_number) {
  for (const uint32_t bits : {0u, 1u, 0xFFFFu}) {
    for (uint32_t code = 0; code < 0x10000; ++code) {
      const float x = to_float(BFloat16{static_cast<uint16_t>(code)});
      const float back = to_float(round_by_chance(x, bits));
      expect(x != x ? back != back : back == x, "code " + std::to_string(code));
    }
  }
  expect(
      round_by_chance(std::bit_cast<float>(0x3F800001u), 0xFFFFu).bits == 0x3F81 && round_by_chance(std::bit_cast<float>(0x3F800001u), 0xFFFEu).bits == 0x3F80,
      "one of 65536 draws rounds the smallest rest up");
}

}  // namespace halo::check::adam_w
