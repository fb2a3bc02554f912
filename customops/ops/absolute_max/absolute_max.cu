#include "provider/kernels/absolute_max.cuh"

#include <algorithm>

#include "ops/absolute_max/absolute_max.h"
#include "provider/kernels/rows.cuh"

namespace halo {

namespace {

constexpr int kThreads = 256, kInFlight = 4;

/// Blocks at most, eight for each multiprocessor of a Hopper GPU, and elements of a block below which more blocks gain nothing.
constexpr int64_t kMostBlocks = 1056, kLeastPiece = 16384;

/// A thread has four packs of 16 bytes in flight. Reads x once; bound by memory. A maximum is the same in any order.
template <class T>
__global__ void __launch_bounds__(kThreads) largest_magnitude_kernel(const T* x, float* largest, int64_t count, bool is_packed) {
  using Packs = cuda::StepPacks<T, kThreads, kInFlight>;
  __shared__ uint32_t scratch[cuda::kWarp];
  uint32_t max = 0;
  for (int64_t first = blockIdx.x * Packs::kStep; first < count; first += gridDim.x * Packs::kStep)
    Packs(x, first, count, is_packed).for_each([&](T value, int) { max = cuda::LargerOf()(max, cuda::magnitude_of(value)); });
  cuda::raise_absolute_max(max, largest, scratch);
}

}  // namespace

Status absolute_max_cuda(DType type, const void* x, float* y, int64_t count, cudaStream_t stream) {
  HALO_RETURN_IF_ERROR(cuda::clear_absolute_max(y, stream));
  const auto blocks = static_cast<unsigned>(std::clamp<int64_t>(count / kLeastPiece, 1, kMostBlocks));
  return cuda::dispatch_float(type, [&]<class T>() {
    return cuda::launch(largest_magnitude_kernel<T>, blocks, kThreads, 0, stream, static_cast<const T*>(x), y, count, cuda::is_aligned(x, 16));
  });
}

}  // namespace halo
