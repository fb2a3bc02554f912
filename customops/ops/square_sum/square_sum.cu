#include "ops/square_sum/square_sum.h"

#include "provider/kernels/reduce.cuh"
#include "provider/kernels/rows.cuh"

namespace halo {

namespace {

constexpr int kThreads = 256, kInFlight = 4;

/// A step of a block.
template <class T>
using Packs = cuda::StepPacks<T, kThreads, kInFlight>;

constexpr int64_t kMostPieces = 1056;  // eight for each multiprocessor of a Hopper GPU

/// Elements that a block adds up, and how many blocks there are: sizes alone decide.
template <class T>
int64_t piece_of(int64_t count) {
  return std::max<int64_t>(1, cuda::ceil_div(cuda::ceil_div(count, kMostPieces), Packs<T>::kStep)) * Packs<T>::kStep;
}
int64_t pieces_of(int64_t count, int64_t piece) { return std::max<int64_t>(1, cuda::ceil_div(count, piece)); }

/// A block has a piece. Reads x once, four packs of 16 bytes a thread in flight; bound by memory. Elements that cannot be loaded whole are added in the same
/// order.
template <class T>
__global__ void __launch_bounds__(kThreads) sum_squares_kernel(const T* x, float* partial, int64_t count, int64_t piece, bool is_packed) {
  constexpr int kWidth = cuda::kRowWidth<T>;
  __shared__ float scratch[cuda::kWarp];
  const int64_t begin = static_cast<int64_t>(blockIdx.x) * piece, end = begin + piece < count ? begin + piece : count;
  float sums[kWidth] = {};
  for (int64_t first = begin; first < end; first += Packs<T>::kStep) {
    Packs<T>(x, first, end, is_packed).for_each([&](T element, int i) {
      const float value = to_float(element);
      sums[i] += value * value;
    });
  }
#pragma unroll
  for (int half = kWidth / 2; half > 0; half /= 2) {
#pragma unroll
    for (int i = 0; i < half; ++i) sums[i] += sums[i + half];
  }
  const float sum = cuda::over_block(cuda::SumOf(), sums[0], 0.0f, scratch);
  if (threadIdx.x == 0) partial[blockIdx.x] = sum;
}

}  // namespace

int64_t square_sum_workspace_cuda(int64_t) { return kMostPieces * static_cast<int64_t>(sizeof(float)); }

Status square_sum_cuda(DType type, const void* x, float* y, int64_t count, void* workspace, int64_t workspace_bytes, cudaStream_t stream) {
  HALO_REQUIRE(workspace_bytes >= square_sum_workspace_cuda(count), square_sum_workspace_cuda(count) << " bytes of workspace", workspace_bytes,
               "Ask square_sum_workspace_cuda.");
  return cuda::dispatch_float(type, [&]<class T>() -> Status {
    const int64_t piece = piece_of<T>(count), pieces = pieces_of(count, piece);
    auto* partial = static_cast<float*>(workspace);
    HALO_RETURN_IF_ERROR(cuda::launch(sum_squares_kernel<T>, static_cast<unsigned>(pieces), kThreads, 0, stream, static_cast<const T*>(x), partial, count,
                                      piece, cuda::is_aligned(x, 16)));
    return cuda::launch(cuda::reduce_pieces_kernel<cuda::ReduceOp::kSumSquare, float, float>, 1, 256, 0, stream, partial, y, 1, pieces, count);
  });
}

}  // namespace halo
