#include "provider/kernels/cast.cuh"

#include "provider/kernels/broadcast.cuh"
#include "provider/kernels/elementwise.h"

namespace halo::cuda {

bool cast_supports(DType from, DType to) { return CastTypes::has(from) && CastTypes::has(to); }

Status cast(DType from, DType to, const void* x, void* y, int64_t count, bool saturate, cudaStream_t stream) {
  return dispatch(CastTypes(), from, [&]<class From>() {
    return dispatch(CastTypes(), to, [&]<class To>() { return map(Cast<To>{saturate}, static_cast<const From*>(x), static_cast<To*>(y), count, stream); });
  });
}

}  // namespace halo::cuda
