#include "ops/swi_glu/swi_glu.h"

#include "provider/kernels/broadcast.cuh"

namespace halo {

namespace {

struct Gate {
  static constexpr int kOperands = 2;
  template <class T>
  __device__ T operator()(T gate, T up) const {
    const float g = to_float(gate);
    return from_float<T>(g / (1.0f + expf(-g)) * to_float(up));
  }
};

}  // namespace

Status swi_glu_cuda(DType type, const void* gate, const void* up, void* y, int64_t count, cudaStream_t stream) {
  const cuda::Dims dims = cuda::flat(count);
  return cuda::dispatch_float(type, [&]<class T>() {
    return cuda::broadcast(Gate(), static_cast<const T*>(gate), dims, static_cast<const T*>(up), dims, static_cast<T*>(y), dims, stream);
  });
}

}  // namespace halo
