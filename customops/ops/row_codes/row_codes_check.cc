#include <cmath>

#include "check/check.h"
#include "common/codes.h"
#include "ops/row_codes/row_codes.h"

namespace halo::check::row_codes {

namespace {

template <class Format, class T>
void check_blocks(int64_t blocks, int64_t block, int64_t parts) {
  const std::string what = std::string(Format::kName) + " " + std::to_string(blocks) + " blocks of " + std::to_string(block);
  const int64_t count = parts * blocks * block;
  auto x = rounded<T>(normal(count, 3));
  if (count > 3) x[2] = from_float<T>(-200.0f);                                      // an outlier, which one block feels
  for (int64_t i = 0; i < block; ++i) x[static_cast<size_t>(i)] = from_float<T>(0);  // a block of zeros
  Guarded<uint8_t> codes(count);
  Guarded<float> scales(parts * blocks), y(blocks * block);
  quantize_rows_cpu<Format>(x.data(), codes.data(), scales.data(), parts * blocks, block, ThreadedExecutor());
  sum_rows_cpu<Format>(codes.data(), scales.data(), y.data(), parts, blocks, block, ThreadedExecutor());
  expect(codes.intact() && scales.intact() && y.intact(), what + ": wrote outside");
  expect(scales[0] == 1, what + ": zeros have a scale of 1");
  for (int64_t b = 0; b < parts * blocks; ++b) {
    float absmax = 0;
    for (int64_t i = 0; i < block; ++i) absmax = std::max(absmax, std::fabs(to_float(x[static_cast<size_t>(b * block + i)])));
    expect(scales[b] == (absmax == 0 ? 1.0f : absmax / Format::kQMax), what + ": scale of block " + std::to_string(b));
    for (int64_t i = b * block; i < (b + 1) * block; ++i) {
      expect(codes[i] == Format::encode(to_float(x[static_cast<size_t>(i)]) / scales[b]), what + ": code " + std::to_string(i));
    }
  }
  for (int64_t i = 0; i < blocks * block; ++i) {
    double sum = 0, magnitude = 0;
    for (int64_t part = 0; part < parts; ++part) {
      const double term = static_cast<double>(Format::decode(codes[part * blocks * block + i])) * scales[part * blocks + i / block];
      sum += term;
      magnitude += std::fabs(term);
    }
    expect_near(y[i], sum, static_cast<double>(parts) * 0x1p-24 * magnitude, what + ": sum " + std::to_string(i));
  }
}

}  // namespace

HALO_CHECK(block_codes_follow_their_equation) {
  for (const int64_t block : {1, 3, 64, 128}) {
    for (const int64_t parts : {1, 2, 5}) {
      check_blocks<Int8, float>(7, block, parts);
      check_blocks<E4M3, BFloat16>(7, block, parts);
      check_blocks<E5M2, Float16>(33, block, parts);
    }
  }
}

HALO_CHECK(block_codes_show_what_is_not_finite_in_its_block_alone) {
  for (const float bad : {NAN, INFINITY, -INFINITY}) {
    std::vector<float> x(128, 1.0f);
    x[70] = bad;
    std::vector<uint8_t> codes(128);
    std::vector<float> scales(2), y(128);
    quantize_rows_cpu<Int8>(x.data(), codes.data(), scales.data(), 2, 64, SerialExecutor());
    sum_rows_cpu<Int8>(codes.data(), scales.data(), y.data(), 1, 2, 64, SerialExecutor());
    expect(y[63] == 1 && std::isnan(y[64]) && std::isnan(y[127]), "what is not finite");
  }
}

}  // namespace halo::check::row_codes
