#include "provider/kernels/cast.cuh"

#include "provider/kernels/broadcast.cuh"
#include "provider/kernels/elementwise.h"

namespace halo::cuda {

bool cast_supports(DType from, DType to) {
  const auto yes = []<class T>() { return cudaSuccess; };
  return dispatch_cast(from, yes) == cudaSuccess && dispatch_cast(to, yes) == cudaSuccess;
}

cudaError_t cast(DType from, DType to, const void* x, void* y, int64_t count, bool saturate, cudaStream_t stream) {
  return dispatch_cast(from, [&]<class From>() {
    return dispatch_cast(to, [&]<class To>() { return map(Cast<To>{saturate}, static_cast<const From*>(x), static_cast<To*>(y), count, stream); });
  });
}

}  // namespace halo::cuda
