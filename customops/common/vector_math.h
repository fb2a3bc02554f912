// Elementary functions without branches or tables, so that loops over them are vectorised.
#pragma once

#include <bit>
#include <cstdint>

namespace halo {

/// e^x within 2 units in the last place; 0 below -87.34, Inf above 88.72, NaN for NaN. [Cephes, expf]
inline float fast_exp(float x) {
  const float clamped = x < -87.33654f ? -87.33654f : (x > 88.72283f ? 88.72283f : x);
  // n = round(x / ln 2): adding 1.5 2^23 leaves the integer in the low bits.
  const float shifted = clamped * 1.44269504f + 12582912.0f;
  const float n = shifted - 12582912.0f;
  // ln 2 in two parts, the first of few bits, so that n times it is exact.
  const float r = (clamped - n * 0.693359375f) + n * 2.12194440e-4f;
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = (p * r) * r + r + 1.0f;
  // 2^n in two steps: n reaches 128, which has no float32.
  const int32_t k = static_cast<int32_t>(std::bit_cast<uint32_t>(shifted)) - 0x4B400000;
  const int32_t half = k >> 1;
  const float low = std::bit_cast<float>((half + 127) << 23);
  const float high = std::bit_cast<float>((k - half + 127) << 23);
  const float y = p * low * high;
  const float bounded = x < -87.33654f ? 0.0f : (x > 88.72283f ? std::bit_cast<float>(0x7F800000u) : y);
  return x != x ? x : bounded;
}

/// 1 / (1 + e^-x).
inline float fast_sigmoid(float x) { return 1.0f / (1.0f + fast_exp(-x)); }

}  // namespace halo
