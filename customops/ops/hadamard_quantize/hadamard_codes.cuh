// Codes of rotated numbers in the registers of a warp, and their way into columns.
#pragma once

#include <bit>
#include <limits>

#include "common/codes.h"
#include "ops/hadamard_transform/hadamard_units.cuh"

namespace halo::hadamard_codes {

using hadamard_units::kLaneElements;
using hadamard_units::kTile;

/// Eight warps, one block a multiprocessor: a thread has all the registers that there are for it.
inline constexpr int kThreads = 256, kWarps = kThreads / cuda::kWarp;

/// Tiles of a warp at a time, an item: 4096 elements, 8 KB, beside which the next item is on its way in registers.
inline constexpr int kTiles = 16, kItem = kTiles * kTile;

/// Items of a warp whose codes share a buffer of shared memory, and buffers. Two of the buffers, a unit, are written turned at a time.
inline constexpr int kItems = 2, kBuffers = 3, kUnitItems = 2 * kItems, kBuffer = kItems * kWarps * kItem;

using Words = cuda::Pack<uint32_t, 4>;

/// Quotients by a scale, as quantize_cuda has them, of numbers that are at most its maximum: the reciprocal in two parts, of which `low` is not negative, so
/// that -0 stays what it is. The sum of both products is rounded once; the quotients that lie in the middle between two codes are those of 448 x = m maximum,
/// and there it errs by 2^-47. A scale of more than 2^64 is taken with all numbers 2^64 times smaller. What an infinite scale or NaN gives is 0 or NaN.
struct Quotients {
  float by, high, low;  // of H, as results are multiplied
  __device__ Quotients(float scale, float by) : by(by), high(0), low(0) {
    if (!(scale <= std::numeric_limits<float>::max())) {
      high = low = scale != scale ? scale : 0.0f;
      return;
    }
    if (scale > 0x1p64f) scale *= 0x1p-64f, this->by *= 0x1p-64f;
    high = 1.0f / scale;
    if (fmaf(-high, scale, 1.0f) < 0.0f) high = std::bit_cast<float>(std::bit_cast<uint32_t>(high) - 1);
    low = fmaf(-high, scale, 1.0f) / scale;
  }
  __device__ float of(float x) const { return fmaf(x, high, x * low); }
};

/// The codes of four quotients, the first in the lowest byte. The sign of a NaN is lost.
template <class Format>
__device__ uint32_t encode_four(float a, float b, float c, float d) {
#ifdef HALO_CUDA_EMULATED
  return static_cast<uint32_t>(Format::encode(a)) | static_cast<uint32_t>(Format::encode(b)) << 8 | static_cast<uint32_t>(Format::encode(c)) << 16 |
         static_cast<uint32_t>(Format::encode(d)) << 24;
#else
  if constexpr (std::is_same_v<Format, Int8>) {
    const auto code = [](float x) { return std::bit_cast<uint32_t>(fmaxf(x, -Int8::kQMax) + 12582912.0f); };  // as Int8::encode: NaN has the least code
    return __byte_perm(__byte_perm(code(a), code(b), 0x0040), __byte_perm(code(c), code(d), 0x0040), 0x5410);
  } else {
    uint32_t word;
    if constexpr (std::is_same_v<Format, E4M3>) {
      asm("{\n\t.reg .b16 l, h;\n\tcvt.rn.satfinite.e4m3x2.f32 l, %2, %1;\n\tcvt.rn.satfinite.e4m3x2.f32 h, %4, %3;\n\tmov.b32 %0, {l, h};\n\t}"
          : "=r"(word)
          : "f"(a), "f"(b), "f"(c), "f"(d));
    } else {
      asm("{\n\t.reg .b16 l, h;\n\tcvt.rn.satfinite.e5m2x2.f32 l, %2, %1;\n\tcvt.rn.satfinite.e5m2x2.f32 h, %4, %3;\n\tmov.b32 %0, {l, h};\n\t}"
          : "=r"(word)
          : "f"(a), "f"(b), "f"(c), "f"(d));
    }
    return word;
  }
#endif
}

/// The codes of a lane's eight results, which are rounded to T first.
template <class Format, class T>
__device__ cuda::Pack<uint32_t, 2> encode_eight(const float (&values)[kLaneElements], const Quotients& quotients) {
  cuda::Pack<uint32_t, 2> codes;
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    uint32_t pairs[2];
    float four[4];
#pragma unroll
    for (int j = 0; j < 2; ++j) {
      pairs[j] = cuda::packed_pair<T>(values[4 * i + 2 * j] * quotients.by, values[4 * i + 2 * j + 1] * quotients.by);
      four[2 * j] = quotients.of(to_float(T{static_cast<uint16_t>(pairs[j])}));
      four[2 * j + 1] = quotients.of(to_float(T{static_cast<uint16_t>(pairs[j] >> 16)}));
    }
    codes.values[i] = encode_four<Format>(four[0], four[1], four[2], four[3]);
    // Codes have the signs of the numbers, those of NaN too.
    if constexpr (!std::is_same_v<Format, Int8>) codes.values[i] = (codes.values[i] & 0x7F7F7F7Fu) | (__byte_perm(pairs[0], pairs[1], 0x7531) & 0x80808080u);
  }
  return codes;
}

/// Writes the tokens of two buffers turned. A thread has 8 columns of 16 tokens a step: 16 loads of 8 bytes, 8 stores of 16; kGroups lanes side by side have a
/// column's tokens. The pairs of words of a token lie where writing (a half warp has 16 neighbouring pairs of a token) and reading (it has 16 / kGroups
/// neighbouring pairs of kGroups tokens) meet no bank twice: pair ^ (group * 16 / kGroups), a group being 16 tokens.
template <int width>
struct Turning {
  static constexpr int kTokens = kBuffer / width, kGroups = 2 * kTokens / 16;

  static __device__ int place(int pair, int group) { return (pair ^ (group * (16 / kGroups))) * 8; }

  static __device__ void write(const unsigned char* early, const unsigned char* late, uint8_t* turned, int64_t first_token, int64_t rows) {
    const int thread = static_cast<int>(threadIdx.x), group = thread % kGroups;
    const unsigned char* from = (group < kGroups / 2 ? early : late) + group % (kGroups / 2) * 16 * width;
    const int64_t token = first_token + group * 16;
#pragma unroll 1
    for (int pair = thread / kGroups; pair < width / 8; pair += kThreads / kGroups) {
      uint32_t words[2][16];
#pragma unroll
      for (int t = 0; t < 16; ++t) {
        const auto two = *reinterpret_cast<const cuda::Pack<uint32_t, 2>*>(from + t * width + place(pair, group));
        words[0][t] = two.values[0];
        words[1][t] = two.values[1];
      }
      if (token >= rows) continue;
#pragma unroll
      for (int w = 0; w < 2; ++w) {
        Words columns[4];
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          const uint32_t a = words[w][4 * i], b = words[w][4 * i + 1], c = words[w][4 * i + 2], d = words[w][4 * i + 3];
          const uint32_t low_ab = __byte_perm(a, b, 0x5140), high_ab = __byte_perm(a, b, 0x7362);
          const uint32_t low_cd = __byte_perm(c, d, 0x5140), high_cd = __byte_perm(c, d, 0x7362);
          columns[0].values[i] = __byte_perm(low_ab, low_cd, 0x5410);
          columns[1].values[i] = __byte_perm(low_ab, low_cd, 0x7632);
          columns[2].values[i] = __byte_perm(high_ab, high_cd, 0x5410);
          columns[3].values[i] = __byte_perm(high_ab, high_cd, 0x7632);
        }
#pragma unroll
        for (int c = 0; c < 4; ++c) *reinterpret_cast<Words*>(turned + (static_cast<int64_t>(pair) * 8 + 4 * w + c) * rows + token) = columns[c];
      }
    }
  }
};

}  // namespace halo::hadamard_codes
