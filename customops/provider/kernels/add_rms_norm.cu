#include "provider/kernels/add_rms_norm.h"

#include "provider/kernels/dependent_launch.cuh"
#include "provider/kernels/words.cuh"

namespace halo::cuda {

namespace {

constexpr int kMostThreads = 1024;

/// A block has a row, a thread packs of 16 bytes a block apart. What a row has of packs up to one a thread stays in registers from the first pass to the
/// second (`is_single`), with its weights; longer rows are read again. Reads x, skip and weight and writes sum and y once; for few rows bound by latency.
template <class T>
__global__ void __launch_bounds__(kMostThreads)
    add_rms_norm_kernel(const T* x, const T* skip, const T* weight, T* sum, T* y, int64_t columns, float epsilon, bool is_packed, bool is_single) {
  constexpr int kWidth = kRowWidth<T>;
  __shared__ float scratch[kWarp];
  const int64_t start = blockIdx.x * columns;
  Words<T> sums, weights;
  float squares = 0;
  let_next_start();
  wait_for_inputs();
  for_packs<T>(columns, is_packed, [&](int64_t at, int length, bool is_whole) {
    Words<T> a, b;
    a.load(x + start + at, is_whole, length);
    b.load(skip + start + at, is_whole, length);
    weights.load(weight + at, is_whole, length);
#pragma unroll
    for (int i = 0; i < kWidth; ++i) {
      const T added = from_float<T>(i < length ? a.number(i) + b.number(i) : 0.0f);
      sums.set(i, added);
      squares += to_float(added) * to_float(added);
    }
    sums.store(sum + start + at, is_whole, length);
  });
  const float mean = over_block(SumOf(), squares, 0.0f, scratch) / static_cast<float>(columns);
  const float scale = 1.0f / sqrtf(mean + epsilon);
  for_packs<T>(columns, is_packed, [&](int64_t at, int length, bool is_whole) {
    if (!is_single) {
      sums.load(sum + start + at, is_whole, length);
      weights.load(weight + at, is_whole, length);
    }
    Words<T> results;
#pragma unroll
    for (int i = 0; i < kWidth; ++i) results.set(i, from_float<T>(i < length ? sums.number(i) * scale * weights.number(i) : 0.0f));
    results.store(y + start + at, is_whole, length);
  });
}

}  // namespace

Status add_rms_norm(DType type, const void* x, const void* skip, const void* weight, void* sum, void* y, int64_t rows, int64_t columns, float epsilon,
                    cudaStream_t stream) {
  HALO_REQUIRE(rows <= kMostBlocksX, "at most " << kMostBlocksX << " rows", rows, "Take fewer prompts or shorter ones.");
  return dispatch_float(type, [&]<class T>() {
    const bool is_packed = rows_are_packed<T>(columns, {x, skip, weight, sum, y});
    const unsigned threads = threads_for_row<T>(columns, kMostThreads);
    const bool is_single = columns <= static_cast<int64_t>(threads) * kRowWidth<T>;
    return launch_dependent(add_rms_norm_kernel<T>, static_cast<unsigned>(rows), threads, 0, stream, static_cast<const T*>(x), static_cast<const T*>(skip),
                            static_cast<const T*>(weight), static_cast<T*>(sum), static_cast<T*>(y), columns, epsilon, is_packed, is_single);
  });
}

}  // namespace halo::cuda
