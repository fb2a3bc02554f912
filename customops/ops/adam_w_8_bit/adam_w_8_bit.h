// What AdamW does to one parameter whose moments are kept in 8 bits: codes of E4M3 (as bytes), a float32 scale for each run of neighbours.
#pragma once

#include "common/code_blocks.h"
#include "ops/adam_w/adam_w.h"

namespace halo {

/// A moment as it was and as it becomes.
struct CodedMoment {
  const uint8_t* codes;
  const float* scales;
  uint8_t* new_codes;
  float* new_scales;
};

/// The parameter and what becomes of it in T, the gradient in G. v holds the root of the second moment: its range is half as many powers of two.
template <class T, class G>
struct AdamW8BitTensors {
  const T* p;
  const G* gradient;
  T* new_p;
  CodedMoment m, v;
};

/// What a block's elements are multiplied by to be codes, and codes by to be elements.
struct MomentScale {
  float inverse, scale;

  /// By the bits of the largest magnitude, which becomes 448. NaN where an element is not finite; 1 where the scale is no normal float32.
  static HALO_HD MomentScale of(uint32_t magnitude) {
    const float largest = std::bit_cast<float>(magnitude), exact = largest / E4M3::kQMax;
    if (magnitude >= detail::kInfinity) return {0.0f, std::bit_cast<float>(0x7FC00000u)};
    if (exact < detail::power_of_two(-126)) return {1.0f, 1.0f};
    return {E4M3::kQMax / largest, exact};
  }
};

/// x, of at most 448, rounded to one of its two neighbours in E4M3: to the farther from 0 where the distance from the nearer, in 2^-16 of a step and cut, plus
/// `bits`, which are 16, reaches a step. 0 where x is no number.
inline HALO_HD uint8_t e4m3_by_chance(float x, uint32_t bits) {
  const uint32_t code = std::bit_cast<uint32_t>(x), magnitude = code & detail::kMagnitude;
  if (magnitude > detail::kInfinity) return 0;
  const bool is_small = magnitude < std::bit_cast<uint32_t>(detail::power_of_two(-6));
  const float small = is_small ? std::bit_cast<float>(magnitude) : 0.0f;
  const uint32_t rounded = is_small ? (static_cast<uint32_t>(small * detail::power_of_two(25)) + bits) >> 16  // steps of 2^-9
                                    : ((magnitude + (bits << 4)) >> 20) - ((127 - 7) << 3);
  constexpr uint32_t kLargest = 0x7E;
  return static_cast<uint8_t>((code >> 24 & 0x80) | (rounded < kLargest ? rounded : kLargest));
}

/// One element of a block; halves of random words as AdamWRounded takes them.
struct AdamW8BitUpdate {
  AdamWUpdate update;
  PhiloxStream stream;

  HALO_HD AdamW8BitUpdate(const AdamWFactors& factors, const AdamWStep& step) : update(factors, step), stream(AdamWRounded(factors, step).stream) {
    update.inverse_root2 = 1.0f / update.root2;
  }

  /// p, and the first moment and the root of the second as numbers.
  template <class T>
  HALO_HD void operator()(T& p, float gradient, uint8_t m_code, float m_scale, uint8_t v_code, float v_scale, float& m, float& root, const PhiloxBlock& block,
                          int i) const {
    m = E4M3::decode(m_code) * m_scale;
    const float old_root = E4M3::decode(v_code) * v_scale;
    float wide = to_float(p), v = old_root * old_root;
    update(wide, gradient, m, v);
    root = sqrtf(v);
    if constexpr (std::is_same_v<T, float>) {
      p = wide;
    } else {
      p = round_by_chance(wide, half_of(block, i));
    }
  }

  static HALO_HD uint8_t m_code(float m, const MomentScale& by, const PhiloxBlock& block, int i) {
    return by.inverse > 0.0f ? e4m3_by_chance(m * by.inverse, half_of(block, (i + AdamWRounded::kFirst) % 8)) : uint8_t{0};
  }

  /// At least the smallest number where the root is above 0: nothing is divided by a moment that rounding took away.
  static HALO_HD uint8_t v_code(float root, const MomentScale& by, const PhiloxBlock& block, int i) {
    if (by.inverse == 0.0f) return 0;
    const uint8_t code = e4m3_by_chance(root * by.inverse, half_of(block, (i + AdamWRounded::kSecond) % 8));
    return code == 0 && root > 0.0f ? uint8_t{1} : code;
  }
};

/// Reads parameter and gradient, and reads and writes 2 bytes of moments an element; a block is read before it is written, so outputs may be inputs. T, G:
/// float, float; or bfloat16 and either. The step has random bits in any case.
template <class T, class G>
void adam_w_8_bit_cpu(const AdamW8BitTensors<T, G>& tensors, const AdamWStep& step, const AdamWFactors& factors, int64_t count, const Executor& executor);

#ifdef HALO_CUDA
/// The same bits, with the scalars on the device.
template <class T, class G>
Status adam_w_8_bit_cuda(const AdamW8BitTensors<T, G>& tensors, const AdamWStep& step, const AdamWFactors& factors, int64_t count, cudaStream_t stream);
#endif

}  // namespace halo
