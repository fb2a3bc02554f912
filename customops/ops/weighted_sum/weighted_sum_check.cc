#include "ops/weighted_sum/weighted_sum.h"

#include <cmath>

#include "check/check.h"

namespace halo::check::weighted_sum {

namespace {

constexpr float kFactors[2] = {1.0f, 0.3f};

WeightedSumScalars scalars_of(const int64_t* numbers = nullptr, const float* keep = kFactors, int64_t tensor = 5) {
  return {.keep = keep, .weight = kFactors + 1, .chance = {.step = numbers, .seed = numbers ? numbers + 1 : nullptr, .tensor = tensor}};
}

/// Each operation rounded; volatile, so that no product is part of a fused operation.
float plain_sum(float sum, float x) {
  const volatile float product = x * kFactors[1];
  return sum + product;
}

template <class T>
void check_type() {
  for (const int64_t count : {0, 1, 17, 100'003}) {
    const auto x = rounded<T>(normal(count, 1));
    const auto sum = rounded<float>(normal(count, 2));
    Guarded<float> y(count), in_place(count);
    for (int64_t i = 0; i < count; ++i) in_place.data()[i] = sum[static_cast<size_t>(i)];
    weighted_sum_cpu(sum.data(), x.data(), scalars_of(), y.data(), count, ThreadedExecutor());
    weighted_sum_cpu<float, T>(in_place.data(), x.data(), scalars_of(), in_place.data(), count, SerialExecutor());
    bool is_right = true;
    for (int64_t i = 0; i < count; ++i) {
      const float expected = plain_sum(sum[static_cast<size_t>(i)], to_float(x[static_cast<size_t>(i)]));
      is_right = is_right && y.data()[i] == expected && in_place.data()[i] == expected;
    }
    expect(is_right, "each operation rounded, in place too");
    expect(y.intact() && in_place.intact(), "nothing written beside");
  }
}

/// An element's bits asked for by themselves: half e % 8 of block e / 8.
template <class T>
void check_rounded_type() {
  for (const int64_t count : {0, 1, 7, 17, 100'003}) {
    const auto x = rounded<T>(normal(count, 1));
    const auto sum = rounded<BFloat16>(normal(count, 2));
    const int64_t numbers[2] = {70'001, (int64_t{3} << 32) + 9};
    Guarded<BFloat16> y(count), in_place(count);
    for (int64_t i = 0; i < count; ++i) in_place.data()[i] = sum[static_cast<size_t>(i)];
    weighted_sum_cpu(sum.data(), x.data(), scalars_of(numbers), y.data(), count, ThreadedExecutor());
    weighted_sum_cpu<BFloat16, T>(in_place.data(), x.data(), scalars_of(numbers), in_place.data(), count, SerialExecutor());
    const PhiloxStream stream{(uint64_t{3} << 32) + 9, 70'001, 0xA0000005u};
    bool is_right = true;
    for (int64_t i = 0; i < count; ++i) {
      const auto at = static_cast<size_t>(i);
      const uint32_t word = stream.block(static_cast<uint64_t>(i / 8)).words[i % 8 / 2];
      const uint16_t expected = round_by_chance(plain_sum(to_float(sum[at]), to_float(x[at])), i % 2 == 0 ? word & 0xFFFFu : word >> 16).bits;
      is_right = is_right && y.data()[i].bits == expected && in_place.data()[i].bits == expected;
    }
    expect(is_right, "rounded by the bits of its place, in place too");
    expect(y.intact() && in_place.intact(), "nothing written beside");
  }
}

}  // namespace

HALO_CHECK(weighted_sum_is_the_sum) {
  check_type<float>();
  check_type<BFloat16>();
  check_type<Float16>();
}

HALO_CHECK(weighted_sum_of_bfloat16_is_the_sum_rounded_by_chance) {
  check_rounded_type<float>();
  check_rounded_type<BFloat16>();
  check_rounded_type<Float16>();
}

HALO_CHECK(weighted_sum_that_is_not_kept_is_not_read) {
  const float none = 0.0f;
  const int64_t numbers[2] = {1, 2};
  const std::vector<float> x{1.5f, -0.0f}, nan(2, NAN);
  const std::vector<BFloat16> coarse(2, BFloat16{0x7FC0});
  float y[2];
  BFloat16 coarse_y[2];
  weighted_sum_cpu(nan.data(), x.data(), scalars_of(nullptr, &none), y, 2, SerialExecutor());
  weighted_sum_cpu(coarse.data(), x.data(), scalars_of(numbers, &none), coarse_y, 2, SerialExecutor());
  expect(y[0] == x[0] * kFactors[1] && !std::signbit(y[1]), "float");
  expect(std::fabs(to_float(coarse_y[0]) - y[0]) <= 0x1p-9f && coarse_y[1].bits == 0, "bfloat16");  // a step at 0.45
}

/// 32 gradients, each a tenth of a step of the sum, which rounding to the nearest would lose one by one.
HALO_CHECK(weighted_sums_of_bfloat16_mean_what_float_sums_are) {
  constexpr int64_t kCount = 20'000, kAdded = 32;
  const float step = 0x1p-7f, kept = 1.0f, weight = 1.0f;  // of bfloat16 from 1 to 2
  const std::vector<float> x(kCount, step / 10);
  for (const int64_t tensor : {0, 1}) {
    std::vector<BFloat16> sum(kCount, BFloat16{0x3F80});
    for (int64_t added = 0; added < kAdded; ++added) {
      const int64_t numbers[2] = {added, 7};
      weighted_sum_cpu<BFloat16, float>(sum.data(), x.data(),
                                        {.keep = &kept, .weight = &weight, .chance = {.step = numbers, .seed = numbers + 1, .tensor = tensor}}, sum.data(),
                                        kCount, SerialExecutor());
    }
    double mean = 0;
    for (const BFloat16 y : sum) mean += (to_float(y) - 1.0) / step / kCount;
    // Each addition steps up with a probability of 0.1: a variance of 0.09 steps^2. Five standard errors.
    expect_near(mean, kAdded * 0.1, 5 * std::sqrt(kAdded * 0.09 / kCount), "steps on average");
  }
}

HALO_CHECK(weighted_sums_of_other_steps_seeds_and_tensors_round_otherwise) {
  constexpr int64_t kCount = 1000;
  const auto x = rounded<BFloat16>(normal(kCount, 1));
  const auto sum = rounded<BFloat16>(normal(kCount, 2));
  const auto rounded_by = [&](int64_t step, int64_t seed, int64_t tensor) {
    const int64_t numbers[2] = {step, seed};
    std::vector<BFloat16> y(kCount);
    weighted_sum_cpu(sum.data(), x.data(), scalars_of(numbers, kFactors, tensor), y.data(), kCount, SerialExecutor());
    return y;
  };
  const auto first = rounded_by(1, 2, 3);
  expect(same(first.data(), rounded_by(1, 2, 3).data(), kCount), "the same bits again");
  for (const auto& other : {rounded_by(2, 2, 3), rounded_by(1, 3, 3), rounded_by(1, 2 + (int64_t{1} << 32), 3), rounded_by(1, 2, 4)}) {
    expect(!same(first.data(), other.data(), kCount), "other bits");
  }
}

}  // namespace halo::check::weighted_sum
