#include "provider/kernels/broadcast.cuh"
#include "provider/kernels/elementwise.h"

namespace halo::cuda {

namespace {

struct Choice {
  static constexpr int kOperands = 3;
  template <class T>
  __device__ T operator()(bool condition, T a, T b) const {
    return condition ? a : b;
  }
};

}  // namespace

Status where(int64_t element_size, const bool* condition, const Dims& condition_dims, const void* a, const Dims& a_dims, const void* b, const Dims& b_dims,
             void* y, const Dims& y_dims, cudaStream_t stream) {
  return dispatch_size(element_size, [&]<class T>() {
    return broadcast(Choice(), condition, condition_dims, static_cast<const T*>(a), a_dims, static_cast<const T*>(b), b_dims, static_cast<T*>(y), y_dims,
                     stream);
  });
}

}  // namespace halo::cuda
