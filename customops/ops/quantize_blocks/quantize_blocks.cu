#include "ops/quantize_blocks/quantize_blocks.h"
#include "provider/kernels/absolute_max.cuh"
#include "provider/kernels/rows.cuh"

namespace halo {

namespace {

constexpr int kThreads = 256, kWarps = kThreads / cuda::kWarp;

/// Elements of a lane, of one block of codes.
constexpr int kWidth = static_cast<int>(kCodeBlock) / cuda::kWarp;

/// Blocks of codes of a warp, all of which are loaded before the first is computed.
constexpr int kBlocks = 4;

/// A warp has kBlocks blocks of codes, a lane kWidth neighbours of each. Reads x once, writes codes and scales once; bound by memory.
template <class T>
__global__ void __launch_bounds__(kThreads) quantize_blocks_kernel(const T* x, uint8_t* codes, float* scales, int64_t count, bool is_packed) {
  const int lane = static_cast<int>(threadIdx.x) % cuda::kWarp;
  const int64_t block = (static_cast<int64_t>(blockIdx.x) * kWarps + threadIdx.x / cuda::kWarp) * kBlocks, first = block * kCodeBlock + lane * kWidth;
  T values[kBlocks][kWidth];
  int lengths[kBlocks];
#pragma unroll
  for (int b = 0; b < kBlocks; ++b) {
    const int64_t at = first + b * kCodeBlock;
    lengths[b] = count - at < kWidth ? static_cast<int>(count - at) : kWidth;  // elements of the lane, none where it lies behind the end
    if (lengths[b] > 0) cuda::load_pack<kWidth>(x, at, 1, is_packed && lengths[b] == kWidth, lengths[b], values[b]);
  }
#pragma unroll
  for (int b = 0; b < kBlocks; ++b) {
    uint32_t magnitude = 0;
#pragma unroll
    for (int i = 0; i < kWidth; ++i) {
      if (i < lengths[b]) magnitude = cuda::LargerOf()(magnitude, cuda::magnitude_of(values[b][i]));
    }
    const BlockScale by = BlockScale::of(cuda::over_warp(cuda::LargerOf(), magnitude));
    if (lengths[b] <= 0) continue;
    if (lane == 0) scales[block + b] = by.scale;
    uint8_t results[kWidth];
#pragma unroll
    for (int i = 0; i < kWidth; ++i) results[i] = i < lengths[b] ? Int8::encode(to_float(values[b][i]) * by.inverse) : uint8_t{0};
    cuda::store_pack<kWidth>(codes + first + b * kCodeBlock, is_packed && lengths[b] == kWidth, lengths[b], results);
  }
}

}  // namespace

Status quantize_blocks_cuda(DType type, const void* x, uint8_t* codes, float* scales, int64_t count, cudaStream_t stream) {
  const bool is_packed = cuda::is_aligned(x, 16) && cuda::is_aligned(codes, kWidth);
  return cuda::dispatch_float(type, [&]<class T>() {
    return cuda::launch(quantize_blocks_kernel<T>, cuda::grid_for(count, kWarps * kBlocks * kCodeBlock), kThreads, 0, stream, static_cast<const T*>(x), codes,
                        scales, count, is_packed);
  });
}

}  // namespace halo
