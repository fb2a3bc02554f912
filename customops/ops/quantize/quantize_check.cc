#include <cmath>
#include <limits>

#include "check/check.h"
#include "common/codes.h"
#include "ops/quantize/quantize.h"
#include "ops/scaled_mat_mul/scaled_mat_mul.h"

namespace halo::check::quantize {

namespace {

struct Quantized {
  std::vector<uint8_t> codes;
  float scale = 0;
};

template <class Format, class T>
Quantized quantize(const std::vector<T>& x) {
  const auto count = static_cast<int64_t>(x.size());
  Guarded<uint8_t> codes(count);
  std::vector<float> partial(static_cast<size_t>(quantize_partials(count)));
  Quantized result;
  quantize_cpu<Format>(x.data(), nullptr, codes.data(), &result.scale, count, partial.data(), ThreadedExecutor());
  expect(codes.intact(), "wrote outside");
  result.codes.assign(codes.data(), codes.data() + count);
  return result;
}

template <class Format>
void check_tensor(const std::vector<float>& x, const std::string& what) {
  float amax = 0;
  for (const float v : x) amax = std::max(amax, std::fabs(v));
  const float exact = amax / Format::kQMax;
  const float scale = exact < std::numeric_limits<float>::min() ? 1.0f : exact;
  const Quantized found = quantize<Format>(x);
  expect(found.scale == scale, what + ": scale");
  for (size_t i = 0; i < x.size(); ++i) expect(found.codes[i] == Format::encode(x[i] / scale), what + ": code " + std::to_string(i));
}

template <class Format>
void check_format() {
  const std::string name = Format::kName;
  check_tensor<Format>(normal(1, 1), name + " one");
  check_tensor<Format>(normal(100003, 2), name + " normal");
  check_tensor<Format>(std::vector<float>(37, 0.0f), name + " zeros");
  check_tensor<Format>({1e-40f, -3e-41f, 1.4e-45f, 0}, name + " subnormal");
  check_tensor<Format>({std::numeric_limits<float>::max(), -1e38f, 1, 0}, name + " huge");
  auto outlier = normal(50000, 3);
  outlier[49999] = -1e6f;
  check_tensor<Format>(outlier, name + " outlier");
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity()}) {
    for (const size_t at : {size_t{0}, size_t{5}, size_t{39999}}) {
      auto x = normal(40000, 4);
      x[at] = bad;
      const Quantized found = quantize<Format>(x);
      expect(!std::isfinite(found.scale) || std::isnan(Format::decode(found.codes[at])), name + ": a value that is not finite was lost");
    }
  }
}

}  // namespace

HALO_CHECK(tensors_are_quantized_by_their_absolute_maximum) {
  check_format<E4M3>();
  check_format<E5M2>();
  check_format<E3M2>();
  check_format<Int8>();
}

HALO_CHECK(products_of_codes_are_scaled_products_of_their_values) {
  for (const auto& [m, n, k] : {std::tuple<int64_t, int64_t, int64_t>{1, 1, 1}, {3, 5, 19}, {130, 70, 90}}) {
    const Quantized a = quantize<E4M3>(normal(m * k, 1)), b = quantize<Int8>(normal(k * n, 2));
    for (const bool trans_a : {false, true}) {
      for (const bool trans_b : {false, true}) {
        std::vector<float> decoded(static_cast<size_t>(m * k + k * n));
        Guarded<float> y(m * n);
        const Status status = scaled_mat_mul_cpu({a.codes.data(), &a.scale, DType::kFloat8E4M3}, {b.codes.data(), &b.scale, DType::kInt8}, y.data(), trans_a,
                                                 trans_b, m, n, k, decoded.data(), PlainProducts(), ThreadedExecutor());
        expect(status.ok(), status.message());
        expect(y.intact(), "wrote outside");
        for (int64_t i = 0; i < m; ++i) {
          for (int64_t j = 0; j < n; ++j) {
            double sum = 0, magnitude = 0;
            for (int64_t l = 0; l < k; ++l) {
              const double term = static_cast<double>(E4M3::decode(a.codes[static_cast<size_t>(trans_a ? l * m + i : i * k + l)])) *
                                  Int8::decode(b.codes[static_cast<size_t>(trans_b ? j * k + l : l * n + j)]) * a.scale * b.scale;
              sum += term;
              magnitude += std::fabs(term);
            }
            expect_near(y[i * n + j], sum, 1e-6 * magnitude, "product");
          }
        }
      }
    }
  }
}

}  // namespace halo::check::quantize
