#include "ops/scaled_mat_mul/scaled_mat_mul.h"

#include <cmath>

#include "check/check.h"
#include "common/codes.h"

namespace halo::check::scaled_mat_mul {

namespace {

template <class Format>
std::vector<uint8_t> codes_of(int64_t count, uint32_t seed) {
  std::vector<uint8_t> codes;
  for (const float v : normal(count, seed)) codes.push_back(Format::encode(v * Format::kQMax / 6));
  return codes;
}

/// Codes decode exactly and PlainProducts sums in float64: two roundings of the sum and of the scale are left.
template <class A, class B>
void check_product(int64_t m, int64_t n, int64_t k, bool trans_a, bool trans_b) {
  const std::string where = std::string(A::kName) + " " + B::kName + " " + std::to_string(m) + " x " + std::to_string(n) + " x " + std::to_string(k) +
                            (trans_a ? " A^T" : "") + (trans_b ? " B^T" : "") + ": ";
  const auto a = codes_of<A>(m * k, 1), b = codes_of<B>(k * n, 2);
  const float scale_a = 0.37f, scale_b = 0.013f;
  Guarded<float> y(m * n), serial(m * n), decoded(m * k + k * n);
  const auto run = [&](float* out, const Executor& executor) {
    const Status status = scaled_mat_mul_cpu({a.data(), &scale_a, A::kType}, {b.data(), &scale_b, B::kType}, out, trans_a, trans_b, m, n, k, decoded.data(),
                                             PlainProducts(), executor);
    expect(status.ok(), where + status.message());
  };
  run(y.data(), ThreadedExecutor());
  run(serial.data(), SerialExecutor());
  expect(y.intact() && decoded.intact(), where + "wrote outside");
  expect(same(y.data(), serial.data(), m * n), where + "threads change the result");
  for (int64_t i = 0; i < m; ++i) {
    for (int64_t j = 0; j < n; ++j) {
      double sum = 0;
      for (int64_t l = 0; l < k; ++l) {
        sum += static_cast<double>(A::decode(a[static_cast<size_t>(trans_a ? l * m + i : i * k + l)])) *
               static_cast<double>(B::decode(b[static_cast<size_t>(trans_b ? j * k + l : l * n + j)]));
      }
      const double expected = sum * static_cast<double>(scale_a) * static_cast<double>(scale_b);
      expect_near(y[i * n + j], expected, 3 * 0x1p-24 * std::fabs(expected) + 1e-38, where + "Y");
    }
  }
}

template <class A, class B>
void check_sizes() {
  for (const bool trans_a : {false, true}) {
    for (const bool trans_b : {false, true}) {
      check_product<A, B>(1, 1, 1, trans_a, trans_b);
      check_product<A, B>(33, 17, 5, trans_a, trans_b);
      check_product<A, B>(72, 64, 130, trans_a, trans_b);
    }
  }
  check_product<A, B>(16, 16, 0, false, true);
}

}  // namespace

HALO_CHECK(scaled_mat_mul_is_the_product_of_what_codes_stand_for) {
  check_sizes<E4M3, E4M3>();
  check_sizes<E4M3, E5M2>();
  check_sizes<Int8, Int8>();
  check_sizes<E3M2, E3M2>();
}

}  // namespace halo::check::scaled_mat_mul
