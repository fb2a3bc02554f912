#include "ops/quantize/quantize.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <type_traits>

#include "common/absolute_max.h"
#include "common/codes.h"

namespace halo {

namespace {

/// max |x| of the elements that are no NaN.
template <class T>
float absolute_max_of_numbers(const T* x, int64_t count) {
  float max = 0;
  for (int64_t i = 0; i < count; ++i) {
    const float magnitude = std::fabs(to_float(x[i]));
    max = magnitude > max ? magnitude : max;
  }
  return max;
}

/// By itself, with nothing that a byte written to `codes` could alias.
template <class Format, class T>
void encode(const T* __restrict x, uint8_t* __restrict codes, int64_t count, float scale) {
  for (int64_t i = 0; i < count; ++i) codes[i] = Format::encode(to_float(x[i]) / scale);
}

}  // namespace

int64_t quantize_partials(int64_t count) { return (count + kGrain - 1) / kGrain; }

template <class Format, class T>
void quantize_cpu(const T* x, const float* absmax, uint8_t* codes, float* scale, int64_t count, float* partial, const Executor& executor) {
  float amax = absmax != nullptr ? *absmax : 0.0f;
  if (absmax == nullptr) {
    executor.parallel_for(count, kGrain,
                          [&](int64_t begin, int64_t end) { partial[begin / kGrain] = std::bit_cast<float>(absolute_max_bits(x + begin, end - begin)); });
    bool has_nan = false;
    for (int64_t i = 0; i < quantize_partials(count); ++i) {
      has_nan = has_nan || std::isnan(partial[i]);
      amax = partial[i] > amax ? partial[i] : amax;
    }
    if (has_nan) {
      amax = std::is_same_v<Format, Int8> ? std::numeric_limits<float>::quiet_NaN() : absolute_max_of_numbers(x, count);
    }
  }
  const float exact = amax / Format::kQMax;
  const float used = exact < std::numeric_limits<float>::min() ? 1.0f : exact;
  *scale = used;
  executor.parallel_for(count, kGrain, [&](int64_t begin, int64_t end) { encode<Format>(x + begin, codes + begin, end - begin, used); });
}

void transpose_codes_cpu(const uint8_t* codes, uint8_t* turned, int64_t rows, int64_t columns, const Executor& executor) {
  constexpr int64_t kTile = 64;
  executor.parallel_for((columns + kTile - 1) / kTile, std::max<int64_t>(1, kGrain / (kTile * std::max<int64_t>(1, rows))), [=](int64_t begin, int64_t end) {
    const int64_t last = std::min(columns, end * kTile);
    for (int64_t row = 0; row < rows; row += kTile) {
      const int64_t last_row = std::min(rows, row + kTile);
      for (int64_t c = begin * kTile; c < last; ++c) {
        for (int64_t r = row; r < last_row; ++r) turned[c * rows + r] = codes[r * columns + c];
      }
    }
  });
}

#define HALO_INSTANTIATE(Format)                                                                                         \
  template void quantize_cpu<Format>(const float*, const float*, uint8_t*, float*, int64_t, float*, const Executor&);    \
  template void quantize_cpu<Format>(const BFloat16*, const float*, uint8_t*, float*, int64_t, float*, const Executor&); \
  template void quantize_cpu<Format>(const Float16*, const float*, uint8_t*, float*, int64_t, float*, const Executor&)
HALO_INSTANTIATE(E4M3);
HALO_INSTANTIATE(E5M2);
HALO_INSTANTIATE(E3M2);
HALO_INSTANTIATE(Int8);
#undef HALO_INSTANTIATE

}  // namespace halo
