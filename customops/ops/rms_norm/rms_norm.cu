#include "ops/rms_norm/rms_norm.h"

#include "provider/kernels/rows.cuh"

namespace halo {

namespace {

constexpr int kMostThreads = 512;

/// A block has a row, whose packs stay in registers where a thread has at most `thread_packs` of them (0: are read again, from cache). `at`: first column of a
/// pack, `length`: its columns within the row, 1 to kWidth.
template <int thread_packs, class T>
__global__ void __launch_bounds__(kMostThreads)
    rms_norm_kernel(const T* x, const T* weight, T* y, float* inv_rms, int64_t columns, float epsilon, bool is_packed) {
  constexpr int kWidth = cuda::kRowWidth<T>;
  __shared__ float scratch[cuda::kWarp];
  const T* in = x + static_cast<int64_t>(blockIdx.x) * columns;
  T* out = y + static_cast<int64_t>(blockIdx.x) * columns;
  T packs[thread_packs > 0 ? thread_packs : 1][kWidth];
  float squares = 0;
  const auto square = [&](const T(&values)[kWidth], int length) {
#pragma unroll
    for (int i = 0; i < kWidth; ++i) {
      const float v = i < length ? to_float(values[i]) : 0.0f;
      squares += v * v;
    }
  };
  if constexpr (thread_packs > 0) {
#pragma unroll
    for (int n = 0; n < thread_packs; ++n) {
      const int64_t at = (static_cast<int64_t>(n) * blockDim.x + threadIdx.x) * kWidth;
      const int length = columns - at < kWidth ? static_cast<int>(columns - at) : kWidth;
      if (length <= 0) continue;
      cuda::load_pack<kWidth>(in, at, 1, is_packed && length == kWidth, length, packs[n]);
      square(packs[n], length);
    }
  } else {
    cuda::for_packs<T>(columns, is_packed, [&](int64_t at, int length, bool is_whole) {
      cuda::load_pack<kWidth>(in, at, 1, is_whole, length, packs[0]);
      square(packs[0], length);
    });
  }
  const float mean = cuda::over_block(cuda::SumOf(), squares, 0.0f, scratch) / static_cast<float>(columns);
  const float scale = 1.0f / sqrtf(mean + epsilon);
  if (threadIdx.x == 0 && inv_rms != nullptr) inv_rms[blockIdx.x] = scale;
  const auto store = [&](const T(&values)[kWidth], int64_t at, int length, bool is_whole) {
    T weights[kWidth], results[kWidth];
    cuda::load_pack<kWidth>(weight, at, 1, is_whole, length, weights);
#pragma unroll
    for (int i = 0; i < kWidth; ++i) results[i] = from_float<T>(i < length ? to_float(values[i]) * scale * to_float(weights[i]) : 0.0f);
    cuda::store_pack<kWidth>(out + at, is_whole, length, results);
  };
  if constexpr (thread_packs > 0) {
#pragma unroll
    for (int n = 0; n < thread_packs; ++n) {
      const int64_t at = (static_cast<int64_t>(n) * blockDim.x + threadIdx.x) * kWidth;
      const int length = columns - at < kWidth ? static_cast<int>(columns - at) : kWidth;
      if (length > 0) store(packs[n], at, length, is_packed && length == kWidth);
    }
  } else {
    cuda::for_packs<T>(columns, is_packed, [&](int64_t at, int length, bool is_whole) {
      cuda::load_pack<kWidth>(in, at, 1, is_whole, length, packs[0]);
      store(packs[0], at, length, is_whole);
    });
  }
}

}  // namespace

Status rms_norm_cuda(DType type, const void* x, const void* weight, void* y, float* inv_rms, int64_t rows, int64_t columns, float epsilon,
                     cudaStream_t stream) {
  HALO_REQUIRE(rows <= cuda::kMostBlocksX, "at most " << cuda::kMostBlocksX << " rows", rows, "Take a smaller batch or a shorter sequence.");
  return cuda::dispatch_float(type, [&]<class T>() {
    const bool is_packed = cuda::rows_are_packed<T>(columns, {x, weight, y});
    const unsigned threads = cuda::threads_for_row<T>(columns, kMostThreads);
    const int64_t steps = cuda::ceil_div(columns, static_cast<int64_t>(threads) * cuda::kRowWidth<T>);
    const auto kernel = steps <= 1 ? rms_norm_kernel<1, T> : (steps <= 4 ? rms_norm_kernel<4, T> : rms_norm_kernel<0, T>);
    return cuda::launch(kernel, static_cast<unsigned>(rows), threads, 0, stream, static_cast<const T*>(x), static_cast<const T*>(weight), static_cast<T*>(y),
                        inv_rms, columns, epsilon, is_packed);
  });
}

}  // namespace halo
