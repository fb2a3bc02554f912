#include "ops/dequantize_blocks/dequantize_blocks.h"
#include "provider/kernels/rows.cuh"

namespace halo {

namespace {

constexpr int kThreads = 256;

/// Packs of a thread, all of which are loaded before the first is computed.
constexpr int kPacks = 4;

/// A thread has kPacks packs of 16 bytes of x, a block of threads apart; each lies in one block of codes. Reads and writes each element once; bound by memory.
template <class T>
__global__ void __launch_bounds__(kThreads) dequantize_blocks_kernel(const uint8_t* codes, const float* scales, T* x, int64_t count, bool is_packed) {
  constexpr int kWidth = cuda::kRowWidth<T>;
  static_assert(kCodeBlock % kWidth == 0, "a pack has one scale");
  const int64_t first = (static_cast<int64_t>(blockIdx.x) * kPacks * kThreads + threadIdx.x) * kWidth;
  uint8_t values[kPacks][kWidth];
  float factors[kPacks];
  int lengths[kPacks];
#pragma unroll
  for (int p = 0; p < kPacks; ++p) {
    const int64_t at = first + p * kThreads * kWidth;
    lengths[p] = count - at < kWidth ? static_cast<int>(count - at) : kWidth;  // elements of the pack, none where it lies behind the end
    if (lengths[p] <= 0) continue;
    cuda::load_pack<kWidth>(codes, at, 1, is_packed && lengths[p] == kWidth, lengths[p], values[p]);
    factors[p] = scales[at / kCodeBlock];
  }
#pragma unroll
  for (int p = 0; p < kPacks; ++p) {
    if (lengths[p] <= 0) continue;
    T results[kWidth];
#pragma unroll
    for (int i = 0; i < kWidth; ++i) results[i] = from_float<T>(i < lengths[p] ? Int8::decode(values[p][i]) * factors[p] : 0.0f);
    cuda::store_pack<kWidth>(x + first + p * kThreads * kWidth, is_packed && lengths[p] == kWidth, lengths[p], results);
  }
}

}  // namespace

Status dequantize_blocks_cuda(DType type, const uint8_t* codes, const float* scales, void* x, int64_t count, cudaStream_t stream) {
  return cuda::dispatch_float(type, [&]<class T>() {
    constexpr int kWidth = cuda::kRowWidth<T>;
    return cuda::launch(dequantize_blocks_kernel<T>, cuda::grid_for(count, kThreads * kPacks * kWidth), kThreads, 0, stream, codes, scales, static_cast<T*>(x),
                        count, cuda::is_aligned(x, 16) && cuda::is_aligned(codes, kWidth));
  });
}

}  // namespace halo
