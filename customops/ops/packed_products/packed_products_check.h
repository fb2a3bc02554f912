// Weights for the checks of packed products.
#pragma once

#include <vector>

#include "check/check.h"
#include "ops/packed_products/packed_products.h"

namespace halo::check::packed_products {

template <class T>
struct Weight {
  std::vector<uint8_t> codes, zeros;
  std::vector<T> scales, bias;

  /// Scales as those of weights, so that gated products fit into float16.
  Weight(int64_t n, const PackedFactors& like, uint32_t seed) : bias(rounded<T>(normal(n, seed + 1))) {
    for (const float x : normal(n * like.blocks(), seed)) scales.push_back(from_float<T>(0.02f * x));
    for (int64_t i = 0; i < n * like.blocks() * like.block * like.bits / 8; ++i) codes.push_back(static_cast<uint8_t>(i * 151 + i / 7 + seed));
    for (int64_t i = 0; i < n * like.zero_bytes(); ++i) zeros.push_back(static_cast<uint8_t>(i * 91 + seed));
  }

  PackedFactor factor(bool has_zeros, bool has_bias) const {
    return {.codes = codes.data(),
            .scales = scales.data(),
            .zeros = has_zeros ? zeros.data() : nullptr,
            .bias = has_bias ? bias.data() : nullptr,
            .n = static_cast<int64_t>(bias.size())};
  }
};

/// check(factors without weights, sizes of the weights, rows): side by side and gated, more rows than kernels of few rows take, blocks that they do not take.
template <class Check>
void check_factors(const Check& check) {
  check({.all = {}, .count = 1, .k = 70, .block = 32, .bits = 4}, {19}, 1);
  check({.all = {}, .count = 3, .k = 96, .block = 32, .bits = 4}, {24, 8, 7}, 2);
  check({.all = {}, .count = 2, .k = 64, .block = 16, .bits = 8, .is_gated = true}, {11, 11}, 3);
  check({.all = {}, .count = 2, .k = 100, .block = 64, .bits = 2, .is_gated = true}, {8, 8}, 9);
  check({.all = {}, .count = 3, .k = 40, .block = 16, .bits = 4}, {5, 3, 4}, 6);
}

}  // namespace halo::check::packed_products
