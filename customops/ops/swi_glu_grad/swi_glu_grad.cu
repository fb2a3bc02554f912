#include "ops/swi_glu_grad/swi_glu_grad.h"

#include "provider/kernels/broadcast.cuh"

namespace halo {

namespace {

/// A thread has 16 bytes of each tensor. Reads and writes each element once; bound by memory.
template <class T>
__global__ void __launch_bounds__(256) swi_glu_grad_kernel(const T* dy, const T* gate, const T* up, T* dgate, T* dup, int64_t count, bool is_aligned) {
  constexpr int kWidth = 16 / static_cast<int>(sizeof(T));
  const int64_t at = (static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x) * kWidth;
  if (at >= count) return;
  const int length = count - at < kWidth ? static_cast<int>(count - at) : kWidth;  // elements of the pack, 1 to kWidth
  const bool is_packed = is_aligned && length == kWidth;
  T errors[kWidth], gates[kWidth], ups[kWidth], gate_gradients[kWidth], up_gradients[kWidth];
  cuda::load_pack<kWidth>(dy, at, 1, is_packed, length, errors);
  cuda::load_pack<kWidth>(gate, at, 1, is_packed, length, gates);
  cuda::load_pack<kWidth>(up, at, 1, is_packed, length, ups);
#pragma unroll
  for (int i = 0; i < kWidth; ++i) {
    const float error = to_float(errors[i]), g = to_float(gates[i]), u = to_float(ups[i]);
    const float s = 1.0f / (1.0f + expf(-g));
    gate_gradients[i] = from_float<T>(error * u * s * (1.0f + g * (1.0f - s)));
    up_gradients[i] = from_float<T>(error * (g * s));
  }
  cuda::store_pack<kWidth>(dgate + at, is_packed, length, gate_gradients);
  cuda::store_pack<kWidth>(dup + at, is_packed, length, up_gradients);
}

}  // namespace

Status swi_glu_grad_cuda(DType type, const void* dy, const void* gate, const void* up, void* dgate, void* dup, int64_t count, cudaStream_t stream) {
  bool is_aligned = true;
  for (const void* pointer : {dy, gate, up, static_cast<const void*>(dgate), static_cast<const void*>(dup)}) {
    is_aligned = is_aligned && cuda::is_aligned(pointer, 16);
  }
  return cuda::dispatch_float(type, [&]<class T>() {
    return cuda::launch(swi_glu_grad_kernel<T>, cuda::grid_for(count, 256 * 16 / static_cast<int64_t>(sizeof(T))), 256, 0, stream, static_cast<const T*>(dy),
                        static_cast<const T*>(gate), static_cast<const T*>(up), static_cast<T*>(dgate), static_cast<T*>(dup), count, is_aligned);
  });
}

}  // namespace halo
