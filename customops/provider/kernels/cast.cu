#include "provider/kernels/cast.cuh"

#include <initializer_list>

#include "provider/kernels/broadcast.cuh"
#include "provider/kernels/elementwise.h"

namespace halo::cuda {

bool cast_supports(DType from, DType to) {
  for (const DType type : {from, to}) {
    switch (type) {
      case DType::kFloat:
      case DType::kBFloat16:
      case DType::kFloat16:
      case DType::kDouble:
      case DType::kInt8:
      case DType::kUInt8:
      case DType::kInt32:
      case DType::kInt64:
      case DType::kBool:
      case DType::kFloat8E4M3:
      case DType::kFloat8E5M2:
        continue;
      default:
        return false;
    }
  }
  return true;
}

cudaError_t cast(DType from, DType to, const void* x, void* y, int64_t count, bool saturate, cudaStream_t stream) {
  return dispatch_cast(from, [&]<class From>() {
    return dispatch_cast(to, [&]<class To>() { return map(Cast<To>{saturate}, static_cast<const From*>(x), static_cast<To*>(y), count, stream); });
  });
}

}  // namespace halo::cuda
