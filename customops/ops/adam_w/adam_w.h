// What AdamW does to one parameter and its moments.
#pragma once

#include <cmath>
#include <cstdint>

#include "common/dtype.h"
#include "common/executor.h"

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
};

struct AdamWTensors {
  const float *p, *gradient, *m, *v;
  float *new_p, *new_m, *new_v;
};

/// One element, each operation rounded by itself: nothing is contracted to a fused multiply-add, on no processor.
struct AdamWUpdate {
  AdamWFactors factors;
  float factor, step_size, root2, keep;
  bool decays;

  HALO_HD void operator()(float& p, float gradient, float& m, float& v) const {
    const float g = times(gradient, factor);
    m = plus(times(m, factors.beta1), times(g, factors.rest1));
    v = plus(times(v, factors.beta2), times(times(g, g), factors.rest2));
    const float direction = m / plus(sqrtf(v) / root2, factors.epsilon);
    p = plus(decays ? times(p, keep) : p, -times(direction, step_size));
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

/// Reads four tensors and writes three; each element is read before it is written, so outputs may be inputs. Bound by memory.
void adam_w_cpu(const AdamWTensors& tensors, const AdamWStep& step, const AdamWFactors& factors, int64_t count, const Executor& executor);

#ifdef HALO_CUDA
/// The same bits, with the scalars on the device.
Status adam_w_cuda(const AdamWTensors& tensors, const AdamWStep& step, const AdamWFactors& factors, int64_t count, cudaStream_t stream);
#endif

}  // namespace halo
