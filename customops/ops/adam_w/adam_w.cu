#include "ops/adam_w/adam_w.h"

#include "provider/kernels/rows.cuh"

namespace halo {

namespace {

constexpr int kThreads = 256, kWidth = 4;

/// A thread has four neighbours of each tensor, 16 bytes a load. 28 bytes an element; bound by memory.
__global__ void __launch_bounds__(kThreads) adam_w_kernel(AdamWTensors t, AdamWStep step, AdamWFactors factors, int64_t count, bool is_packed) {
  const int64_t at = (static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x) * kWidth;
  if (at >= count) return;
  const int length = count - at < kWidth ? static_cast<int>(count - at) : kWidth;  // elements of the pack, 1 to kWidth
  const bool is_whole = is_packed && length == kWidth;
  float p[kWidth], gradient[kWidth], m[kWidth], v[kWidth];
  cuda::load_pack<kWidth>(t.p, at, 1, is_whole, length, p);
  cuda::load_pack<kWidth>(t.gradient, at, 1, is_whole, length, gradient);
  cuda::load_pack<kWidth>(t.m, at, 1, is_whole, length, m);
  cuda::load_pack<kWidth>(t.v, at, 1, is_whole, length, v);
  const AdamWUpdate update{.factors = factors,
                           .factor = *step.factor,
                           .step_size = *step.step_size,
                           .root2 = *step.root2,
                           .keep = step.keep ? *step.keep : 1.0f,
                           .decays = step.keep != nullptr};
#pragma unroll
  for (int i = 0; i < kWidth; ++i) {
    if (i < length) update(p[i], gradient[i], m[i], v[i]);
  }
  cuda::store_pack<kWidth>(t.new_p + at, is_whole, length, p);
  cuda::store_pack<kWidth>(t.new_m + at, is_whole, length, m);
  cuda::store_pack<kWidth>(t.new_v + at, is_whole, length, v);
}

}  // namespace

Status adam_w_cuda(const AdamWTensors& t, const AdamWStep& step, const AdamWFactors& factors, int64_t count, cudaStream_t stream) {
  bool is_packed = true;
  for (const float* pointer :
       {t.p, t.gradient, t.m, t.v, static_cast<const float*>(t.new_p), static_cast<const float*>(t.new_m), static_cast<const float*>(t.new_v)}) {
    is_packed = is_packed && cuda::is_aligned(pointer, 16);
  }
  return cuda::launch(adam_w_kernel, cuda::grid_for(count, kThreads * kWidth), kThreads, 0, stream, t, step, factors, count, is_packed);
}

}  // namespace halo
