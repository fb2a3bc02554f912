#include <cmath>
#include <limits>

#include "common/absolute_max.h"
#include "common/codes.h"
#include "ops/row_codes/row_codes.h"

namespace halo {

namespace {

/// By itself, with nothing that a byte written to `codes` could alias.
template <class Format, class T>
void encode_row(const T* __restrict x, uint8_t* __restrict codes, int64_t count, float scale) {
  for (int64_t i = 0; i < count; ++i) codes[i] = Format::encode(to_float(x[i]) / scale);
}

template <class Format>
void add(const uint8_t* __restrict codes, float scale, float* __restrict y, int64_t count) {
  for (int64_t i = 0; i < count; ++i) y[i] = std::fma(Format::decode(codes[i]), scale, y[i]);
}

}  // namespace

template <class Format, class T>
void quantize_rows_cpu(const T* x, uint8_t* codes, float* scales, int64_t blocks, int64_t block, const Executor& executor) {
  executor.parallel_for(blocks, rows_per_task(block), [&](int64_t begin, int64_t end) {
    for (int64_t b = begin; b < end; ++b) {
      const uint32_t bits = absolute_max_bits(x + b * block, block);
      const float exact = std::bit_cast<float>(bits) / Format::kQMax;
      const bool is_finite = bits < detail::kInfinity;
      scales[b] = !is_finite ? std::numeric_limits<float>::quiet_NaN() : (exact < std::numeric_limits<float>::min() ? 1.0f : exact);
      if (is_finite) {
        encode_row<Format>(x + b * block, codes + b * block, block, scales[b]);
      } else {
        std::fill_n(codes + b * block, block, uint8_t{0});
      }
    }
  });
}

template <class Format>
void sum_rows_cpu(const uint8_t* codes, const float* scales, float* y, int64_t parts, int64_t blocks, int64_t block, const Executor& executor) {
  executor.parallel_for(blocks, rows_per_task(block * parts), [&](int64_t begin, int64_t end) {
    for (int64_t b = begin; b < end; ++b) {
      float* const out = y + b * block;
      for (int64_t i = 0; i < block; ++i) out[i] = Format::decode(codes[b * block + i]) * scales[b];
      for (int64_t part = 1; part < parts; ++part) add<Format>(codes + (part * blocks + b) * block, scales[part * blocks + b], out, block);
    }
  });
}

#define HALO_INSTANTIATE(Format)                                                                                 \
  template void quantize_rows_cpu<Format>(const float*, uint8_t*, float*, int64_t, int64_t, const Executor&);    \
  template void quantize_rows_cpu<Format>(const BFloat16*, uint8_t*, float*, int64_t, int64_t, const Executor&); \
  template void quantize_rows_cpu<Format>(const Float16*, uint8_t*, float*, int64_t, int64_t, const Executor&);  \
  template void sum_rows_cpu<Format>(const uint8_t*, const float*, float*, int64_t, int64_t, int64_t, const Executor&)
HALO_INSTANTIATE(E4M3);
HALO_INSTANTIATE(E5M2);
HALO_INSTANTIATE(Int8);
#undef HALO_INSTANTIATE

}  // namespace halo
