#include "ops/packed_products/packed_products_check.h"

#include <cmath>

namespace halo::check::packed_products {

namespace {

using packed_products::Weight;

int code_at(const std::vector<uint8_t>& bytes, int64_t index, int64_t bits) {
  return bytes[static_cast<size_t>(index * bits / 8)] >> (index * bits % 8) & ((1 << bits) - 1);
}

template <class T>
void check_products(PackedFactors factors, const std::vector<int64_t>& sizes, int64_t rows, bool has_zeros, bool has_bias) {
  const std::string what = "packed products of " + std::to_string(factors.bits) + " bits, " + std::to_string(rows) + " rows";
  std::vector<Weight<T>> weights;
  for (const int64_t n : sizes) weights.emplace_back(n, factors, static_cast<uint32_t>(n));
  for (size_t i = 0; i < weights.size(); ++i) factors.all[i] = weights[i].factor(has_zeros, has_bias);
  const auto a = rounded<T>(normal(rows * factors.k, 7));
  const int64_t columns = factors.columns(), stored_zeros = factors.zero_bytes() * 8 / factors.bits;
  Guarded<T> y(rows * columns), serial(rows * columns);
  packed_products_cpu(a.data(), rows, factors, y.data(), ThreadedExecutor());
  packed_products_cpu(a.data(), rows, factors, serial.data(), SerialExecutor());
  expect(y.intact(), what + ": wrote outside");
  expect(same(serial.data(), y.data(), rows * columns), what + ": threads change the result");
  for (int64_t row = 0; row < rows; ++row) {
    std::vector<double> sums, errors;
    for (const Weight<T>& w : weights) {
      for (int64_t n = 0; n < static_cast<int64_t>(w.bias.size()); ++n) {
        double sum = has_bias ? to_float(w.bias[static_cast<size_t>(n)]) : 0, size = std::fabs(sum);
        for (int64_t k = 0; k < factors.k; ++k) {
          const int64_t block = k / factors.block;
          const int zero = has_zeros ? code_at(w.zeros, n * stored_zeros + block, factors.bits) : 1 << (factors.bits - 1);
          const int code = code_at(w.codes, n * factors.blocks() * factors.block + k, factors.bits);
          const double term = static_cast<double>(to_float(a[static_cast<size_t>(row * factors.k + k)])) * (code - zero) *
                              static_cast<double>(to_float(w.scales[static_cast<size_t>(n * factors.blocks() + block)]));
          sum += term, size += std::fabs(term);
        }
        sums.push_back(sum), errors.push_back(size * 1e-6);
      }
    }
    for (int64_t n = 0; n < columns; ++n) {
      const auto at = static_cast<size_t>(n), other = static_cast<size_t>(n + columns);
      double expected = sums[at], error = errors[at];
      if (factors.is_gated) {
        const double gate = sums[at] / (1 + std::exp(-sums[at]));
        expected = gate * sums[other];
        error = 1.1 * std::fabs(sums[other]) * errors[at] + std::fabs(gate) * errors[other] + 1e-6 * std::fabs(expected);
      }
      expect_near(to_float(y[row * columns + n]), expected, error + rounding<T>(expected), what);
    }
  }
}

}  // namespace

HALO_CHECK(packed_products_follow_their_equation) {
  packed_products::check_factors([](const PackedFactors& factors, const std::vector<int64_t>& sizes, int64_t rows) {
    check_products<float>(factors, sizes, rows, rows % 2 == 0, rows > 1);
    check_products<BFloat16>(factors, sizes, rows, true, false);
    check_products<Float16>(factors, sizes, rows, false, true);
  });
}

}  // namespace halo::check::packed_products
