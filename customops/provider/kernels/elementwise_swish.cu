#include "provider/kernels/broadcast.cuh"
#include "provider/kernels/elementwise.h"

namespace halo::cuda {

namespace {

struct Swish {
  static constexpr int kOperands = 1;
  float alpha;
  template <class T>
  __device__ T operator()(T x) const {
    const auto v = widened(x);
    return narrowed<T>(v / (1 + exp(-static_cast<Real<T>>(alpha) * v)));
  }
};

}  // namespace

Status swish(DType type, const void* x, float alpha, void* y, int64_t count, cudaStream_t stream) {
  return dispatch_real(type, [&]<class T>() { return map(Swish{alpha}, static_cast<const T*>(x), static_cast<T*>(y), count, stream); });
}

}  // namespace halo::cuda
