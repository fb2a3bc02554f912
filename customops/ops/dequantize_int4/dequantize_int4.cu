#include "ops/dequantize_int4/dequantize_int4.h"
#include "provider/kernels/rows.cuh"

namespace halo {

namespace {

constexpr int kThreads = 256;

/// A thread has a pack of 16 bytes of x, or of as many elements at the end of a row; it lies in one block of codes. Reads 0.6 bytes an element and writes each
/// once; bound by memory. Packs of a row lie side by side over the threads.
template <class T>
__global__ void __launch_bounds__(kThreads) dequantize_int4_kernel(Int4Matrix matrix, T* x, int64_t packs, int64_t blocks, bool is_packed) {
  constexpr int kWidth = cuda::kRowWidth<T>;
  static_assert(kInt4Block % kWidth == 0 && kWidth % 2 == 0, "a pack has one scale and whole bytes");
  const int64_t at = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (at >= matrix.rows * packs) return;
  const int64_t row = at / packs, first = at % packs * kWidth, block = row * blocks + first / kInt4Block;
  uint8_t codes[kWidth / 2];
  cuda::load_pack<kWidth / 2>(matrix.codes, row * blocks * (kInt4Block / 2) + first / 2, 1, true, kWidth / 2, codes);
  const float scale = to_float(matrix.scales[block]);
  const int zero = matrix.zeros[block];
  const int count = matrix.columns - first < kWidth ? static_cast<int>(matrix.columns - first) : kWidth;
  T results[kWidth];
#pragma unroll
  for (int i = 0; i < kWidth; ++i) {
    const int code = i % 2 == 0 ? codes[i / 2] & 15 : codes[i / 2] >> 4;
    results[i] = from_float<T>(static_cast<float>(code - zero) * scale);
  }
  cuda::store_pack<kWidth>(x + row * matrix.columns + first, is_packed && count == kWidth, count, results);
}

}  // namespace

Status dequantize_int4_cuda(DType type, const Int4Matrix& matrix, void* x, cudaStream_t stream) {
  return cuda::dispatch_float(type, [&]<class T>() {
    constexpr int kWidth = cuda::kRowWidth<T>;
    const int64_t packs = (matrix.columns + kWidth - 1) / kWidth;
    return cuda::launch(dequantize_int4_kernel<T>, cuda::grid_for(matrix.rows * packs, kThreads), kThreads, 0, stream, matrix, static_cast<T*>(x), packs,
                        int4_blocks(matrix.columns), cuda::is_aligned(x, 16) && matrix.columns % kWidth == 0);
  });
}

}  // namespace halo
