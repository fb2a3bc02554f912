// What AdamW does to one parameter and its moments.
#pragma once

#include <cmath>
#include <cstdint>

#include "common/dtype.h"
#include "common/executor.h"
#include "common/rounding.h"

#ifdef HALO_CUDA
#include "provider/kernels/tensor.h"
#endif

namespace halo {

struct AdamWFactors {
  float beta1, rest1, beta2, rest2, epsilon;
};

/// Scalars of one step, which are computed in the graph.
struct AdamWStep {
  const float *factor, *step_size, *root2;
  const float* keep;  // null where nothing decays
  ChanceSource chance;
};

/// The parameter, its moments and what becomes of them in T, the gradient in G.
template <class T, class G>
struct AdamWTensors {
  const T* p;
  const G* gradient;
  const T *m, *v;
  T *new_p, *new_m, *new_v;
};

/// One element, each operation rounded by itself: nothing is contracted to a fused multiply-add, on no processor.
struct AdamWUpdate {
  AdamWFactors factors;
  float factor, step_size, root2, keep;  // keep: 1 where nothing decays
  float inverse_root2 = 0;               // multiplied by, where it is set: half of the divisions

  HALO_HD AdamWUpdate(const AdamWFactors& given, const AdamWStep& step)
      : factors(given), factor(*step.factor), step_size(*step.step_size), root2(*step.root2), keep(step.keep ? *step.keep : 1.0f) {}

  HALO_HD void operator()(float& p, float gradient, float& m, float& v) const {
    if (inverse_root2 != 0.0f) {
      apply<true>(p, gradient, m, v);
    } else {
      apply<false>(p, gradient, m, v);
    }
  }

  /// `by_inverse`: whether inverse_root2 is set, which a kernel asks once.
  template <bool by_inverse>
  HALO_HD void apply(float& p, float gradient, float& m, float& v) const {
    const float g = times(gradient, factor);
    m = plus(times(m, factors.beta1), times(g, factors.rest1));
    v = plus(times(v, factors.beta2), times(times(g, g), factors.rest2));
    const float root = sqrtf(v);
    const float direction = m / plus(by_inverse ? times(root, inverse_root2) : root / root2, factors.epsilon);
    p = plus(times(p, keep), -times(direction, step_size));
  }

 private:
#ifdef __CUDA_ARCH__
  static __device__ float times(float a, float b) { return __fmul_rn(a, b); }
  static __device__ float plus(float a, float b) { return __fadd_rn(a, b); }
#else
  static HALO_HD float times(float a, float b) { return a * b; }
  static HALO_HD float plus(float a, float b) { return a + b; }
#endif
};

/// The same in bfloat16, each result rounded by chance. Eight elements share a block of random words, whose halves the parameter takes in order, the moments
/// in other orders, so that the three of an element have bits of their own. Streams from 2^31 on are the optimizer's, whatever else draws under the seed.
struct AdamWRounded {
  static constexpr int kFirst = 3, kSecond = 5;  // where the moments begin among the halves, in ChanceRounding.cs too

  AdamWUpdate update;
  PhiloxStream stream;

  HALO_HD AdamWRounded(const AdamWFactors& factors, const AdamWStep& step) : update(factors, step), stream(step.chance.stream(0x80000000u)) {
    update.inverse_root2 = 1.0f / update.root2;
  }

  /// `i`: the element among the eight of `block`.
  HALO_HD void operator()(BFloat16& p, float gradient, BFloat16& m, BFloat16& v, const PhiloxBlock& block, int i) const {
    float wide_p = to_float(p), wide_m = to_float(m), wide_v = to_float(v);
    update(wide_p, gradient, wide_m, wide_v);
    p = round_by_chance(wide_p, half_of(block, i));
    m = round_by_chance(wide_m, half_of(block, (i + kFirst) % 8));
    v = round_by_chance(wide_v, half_of(block, (i + kSecond) % 8));
  }
};

/// Reads four tensors and writes three; each element is read before it is written, so outputs may be inputs. Bound by memory. T, G: float, float; or
/// bfloat16 and either, which is computed in float and rounded by chance.
template <class T, class G>
void adam_w_cpu(const AdamWTensors<T, G>& tensors, const AdamWStep& step, const AdamWFactors& factors, int64_t count, const Executor& executor);

#ifdef HALO_CUDA
/// The same bits, with the scalars on the device.
template <class T, class G>
Status adam_w_cuda(const AdamWTensors<T, G>& tensors, const AdamWStep& step, const AdamWFactors& factors, int64_t count, cudaStream_t stream);
#endif

}  // namespace halo
