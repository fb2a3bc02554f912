#include "ops/dropout/dropout.h"

#include "provider/kernels/rows.cuh"

namespace halo {

namespace {

constexpr int kThreads = 256;

/// Elements of a thread: 16 bytes, one or two blocks of words.
template <class T>
constexpr int kWidth = 16 / static_cast<int>(sizeof(T));

template <class T>
__global__ void __launch_bounds__(kThreads)
    dropout_kernel(const T* x, T* y, int64_t count, const int64_t* seed, const int64_t* step, uint32_t stream_number, DropoutRule rule, bool is_packed) {
  const int64_t at = (static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x) * kWidth<T>;
  if (at >= count) return;
  const int length = count - at < kWidth<T> ? static_cast<int>(count - at) : kWidth<T>;  // elements of the pack, 1 to kWidth
  const bool is_whole = is_packed && length == kWidth<T>;
  const PhiloxStream random{static_cast<uint64_t>(*seed), static_cast<uint32_t>(*step), stream_number};
  T values[kWidth<T>];
  cuda::load_pack<kWidth<T>>(x, at, 1, is_whole, length, values);
#pragma unroll
  for (int first = 0; first < kWidth<T>; first += 4) {
    const PhiloxBlock block = random.block(static_cast<uint64_t>(at + first) / 4);
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      if (first + i < length) values[first + i] = rule(values[first + i], block.words[i]);
    }
  }
  cuda::store_pack<kWidth<T>>(y + at, is_whole, length, values);
}

}  // namespace

Status dropout_cuda(DType type, const void* x, void* y, int64_t count, const int64_t* seed, const int64_t* step, uint32_t stream_number,
                    const DropoutRule& rule, cudaStream_t stream) {
  const bool is_packed = cuda::is_aligned(x, 16) && cuda::is_aligned(y, 16);
  return cuda::dispatch_float(type, [&]<class T>() {
    return cuda::launch(dropout_kernel<T>, cuda::grid_for(count, kThreads * kWidth<T>), kThreads, 0, stream, static_cast<const T*>(x), static_cast<T*>(y),
                        count, seed, step, stream_number, rule, is_packed);
  });
}

}  // namespace halo
