#include "ops/rms_norm/rms_norm.h"

#include "provider/kernels/absolute_max.cuh"
#include "provider/kernels/words.cuh"

namespace halo {

namespace {

/// Threads of a block at most, and those of the blocks of which a multiprocessor has kFewBlocks: their rows have up to 4096 elements of 16 bits.
constexpr int kMostThreads = 512, kFewThreads = 128, kFewBlocks = 6;

/// Blocks of a multiprocessor: of rows that take fewer than kFewThreads as many more, so that as many bytes are on their way.
int64_t blocks_of_one(unsigned threads) { return threads > kFewThreads ? 4 : kFewBlocks * kFewThreads / static_cast<int64_t>(threads); }

/// A block walks over rows, one at a time, with the weights in registers. A thread has at most `thread_packs` packs of a row, in registers too (0: any number,
/// read again from cache). `at`: first column of a pack, `length`: its columns within the row, 1 to kWidth. Reads x once and writes y once; bound by memory.
template <int threads, int thread_packs, class T>
__global__ void __launch_bounds__(threads, threads == kFewThreads ? kFewBlocks : 1)
    rms_norm_kernel(const T* x, const T* weight, T* y, float* inv_rms, float* absmax, int64_t rows, int64_t columns, float epsilon, bool is_packed) {
  constexpr int kWidth = cuda::kRowWidth<T>, kPacks = thread_packs > 0 ? thread_packs : 1;
  __shared__ float scratch[cuda::kWarp];
  cuda::Words<T> packs[kPacks], weights[kPacks];
  [[maybe_unused]] const auto length_of = [&](int n) {
    const int64_t left = columns - (static_cast<int64_t>(n) * blockDim.x + threadIdx.x) * kWidth;
    return left < kWidth ? static_cast<int>(left) : kWidth;
  };
  [[maybe_unused]] const auto column_of = [&](int n) { return (static_cast<int64_t>(n) * blockDim.x + threadIdx.x) * kWidth; };
  if constexpr (thread_packs > 0) {
#pragma unroll
    for (int n = 0; n < thread_packs; ++n) {
      const int length = length_of(n);
      if (length > 0) weights[n].load(weight + column_of(n), is_packed && length == kWidth, length);
    }
  }
  uint32_t largest = 0;
  for (int64_t row = blockIdx.x; row < rows; row += gridDim.x) {
    const T* in = x + row * columns;
    T* out = y + row * columns;
    float squares = 0;
    const auto square = [&](const cuda::Words<T>& values, int length) {
#pragma unroll
      for (int i = 0; i < kWidth; ++i) {
        const float v = i < length ? values.number(i) : 0.0f;
        squares += v * v;
      }
    };
    if constexpr (thread_packs > 0) {
#pragma unroll
      for (int n = 0; n < thread_packs; ++n) {
        const int length = length_of(n);
        if (length > 0) packs[n].load(in + column_of(n), is_packed && length == kWidth, length);
      }
#pragma unroll
      for (int n = 0; n < thread_packs; ++n) {
        if (length_of(n) > 0) square(packs[n], length_of(n));
      }
    } else {
      cuda::for_packs<T>(columns, is_packed, [&](int64_t at, int length, bool is_whole) {
        packs[0].load(in + at, is_whole, length);
        square(packs[0], length);
      });
    }
    const float mean = cuda::over_block(cuda::SumOf(), squares, 0.0f, scratch) / static_cast<float>(columns);
    const float scale = 1.0f / sqrtf(mean + epsilon);
    if (threadIdx.x == 0 && inv_rms != nullptr) inv_rms[row] = scale;
    const auto store = [&](const cuda::Words<T>& values, const cuda::Words<T>& factors, int64_t at, int length, bool is_whole) {
      cuda::Words<T> results;
#pragma unroll
      for (int i = 0; i < kWidth; ++i) {
        const T result = from_float<T>(i < length ? values.number(i) * scale * factors.number(i) : 0.0f);
        if (absmax != nullptr) largest = cuda::LargerOf()(largest, cuda::magnitude_of(result));
        results.set(i, result);
      }
      results.store(out + at, is_whole, length);
    };
    if constexpr (thread_packs > 0) {
#pragma unroll
      for (int n = 0; n < thread_packs; ++n) {
        const int length = length_of(n);
        if (length > 0) store(packs[n], weights[n], column_of(n), length, is_packed && length == kWidth);
      }
    } else {
      cuda::for_packs<T>(columns, is_packed, [&](int64_t at, int length, bool is_whole) {
        packs[0].load(in + at, is_whole, length);
        weights[0].load(weight + at, is_whole, length);
        store(packs[0], weights[0], at, length, is_whole);
      });
    }
  }
  if (absmax != nullptr) cuda::raise_absolute_max(largest, absmax, reinterpret_cast<uint32_t*>(scratch));
}

}  // namespace

Status rms_norm_cuda(DType type, const void* x, const void* weight, void* y, float* inv_rms, float* absmax, int64_t rows, int64_t columns, float epsilon,
                     cudaStream_t stream) {
  HALO_REQUIRE(rows <= cuda::kMostBlocksX, "at most " << cuda::kMostBlocksX << " rows", rows, "Take a smaller batch or a shorter sequence.");
  HALO_RETURN_IF_ERROR(cuda::clear_absolute_max(absmax, stream));
  return cuda::dispatch_float(type, [&]<class T>() {
    const bool is_packed = cuda::rows_are_packed<T>(columns, {x, weight, y});
    const unsigned threads = cuda::threads_for_packs<T>(columns, kMostThreads);
    const int64_t steps = cuda::ceil_div(columns, static_cast<int64_t>(threads) * cuda::kRowWidth<T>);
    const bool is_few = threads <= kFewThreads;
    auto kernel = rms_norm_kernel<kMostThreads, 0, T>;
    if (steps <= cuda::kRowPacks) kernel = is_few ? rms_norm_kernel<kFewThreads, cuda::kRowPacks, T> : rms_norm_kernel<kMostThreads, cuda::kRowPacks, T>;
    const int64_t blocks = std::min<int64_t>(rows, cuda::multiprocessors() * blocks_of_one(threads));
    return cuda::launch(kernel, static_cast<unsigned>(blocks), threads, 0, stream, static_cast<const T*>(x), static_cast<const T*>(weight), static_cast<T*>(y),
                        inv_rms, absmax, rows, columns, epsilon, is_packed);
  });
}

}  // namespace halo
