#include "ops/collectives/collectives.h"
#include "ops/collectives/combine.h"
#include "provider/kernels/device.cuh"

namespace halo {

namespace {

constexpr int kThreads = 256;

/// A thread has an element of y. Reads each part and writes y once; bound by memory, and beside it by the links.
template <class F, class T>
__global__ void __launch_bounds__(kThreads) combine_kernel(const T* parts, int64_t parts_count, int64_t count, T* y) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (i < count) y[i] = combination::combined<F>(parts, parts_count, count, i);
}

}  // namespace

Status combine_cuda(DType type, Reduction reduction, const void* parts, int64_t parts_count, int64_t count, void* y, cudaStream_t stream) {
  return dispatch(CombinedTypes(), type, [&]<class T>() {
    const auto kernel = reduction == Reduction::kSum ? combine_kernel<combination::Sum, T> : combine_kernel<combination::Largest, T>;
    return cuda::launch(kernel, cuda::grid_for(count, kThreads), kThreads, 0, stream, static_cast<const T*>(parts), parts_count, count, static_cast<T*>(y));
  });
}

}  // namespace halo
