#include "ops/adam_w/adam_w.h"

#include "provider/kernels/rows.cuh"

namespace halo {

namespace {

constexpr int kThreads = 256;

/// Neighbours of a thread: 16 bytes of a parameter, and with 16 bits the elements that share a block of random words.
template <class T>
constexpr int kWidth = 16 / static_cast<int>(sizeof(T));

/// A thread has a pack of each tensor. 28 bytes an element in float, 14 in bfloat16; bound by memory.
template <class T, class G>
__global__ void __launch_bounds__(kThreads, 4) adam_w_kernel(AdamWTensors<T, G> t, AdamWStep step, AdamWFactors factors, int64_t count, bool is_packed) {
  constexpr int width = kWidth<T>;
  const int64_t pack = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x, at = pack * width;
  if (at >= count) return;
  const int length = count - at < width ? static_cast<int>(count - at) : width;  // elements of the pack, 1 to width
  const bool is_whole = is_packed && length == width;
  T p[width] = {}, m[width] = {}, v[width] = {};
  G gradient[width] = {};
  cuda::load_pack<width>(t.p, at, 1, is_whole, length, p);
  cuda::load_pack<width>(t.gradient, at, 1, is_whole, length, gradient);
  cuda::load_pack<width>(t.m, at, 1, is_whole, length, m);
  cuda::load_pack<width>(t.v, at, 1, is_whole, length, v);
  if constexpr (std::is_same_v<T, float>) {
    const AdamWUpdate update(factors, step);
#pragma unroll
    for (int i = 0; i < width; ++i) {
      if (i < length) update(p[i], gradient[i], m[i], v[i]);
    }
  } else {
    const AdamWRounded rounded(factors, step);
    const PhiloxBlock block = rounded.stream.block(static_cast<uint64_t>(pack));
#pragma unroll
    for (int i = 0; i < width; ++i) rounded(p[i], to_float(gradient[i]), m[i], v[i], block, i);  // zeros behind the end
  }
  cuda::store_pack<width>(t.new_p + at, is_whole, length, p);
  cuda::store_pack<width>(t.new_m + at, is_whole, length, m);
  cuda::store_pack<width>(t.new_v + at, is_whole, length, v);
}

}  // namespace

template <class T, class G>
Status adam_w_cuda(const AdamWTensors<T, G>& t, const AdamWStep& step, const AdamWFactors& factors, int64_t count, cudaStream_t stream) {
  bool is_packed = cuda::is_aligned(t.gradient, kWidth<T> * static_cast<int64_t>(sizeof(G)));
  const T* const pointers[] = {t.p, t.m, t.v, t.new_p, t.new_m, t.new_v};  // named: nvcc 13.0 writes a list of T in place wrongly
  for (const T* pointer : pointers) is_packed = is_packed && cuda::is_aligned(pointer, 16);
  return cuda::launch(adam_w_kernel<T, G>, cuda::grid_for(count, kThreads * kWidth<T>), kThreads, 0, stream, t, step, factors, count, is_packed);
}

template Status adam_w_cuda(const AdamWTensors<float, float>&, const AdamWStep&, const AdamWFactors&, int64_t, cudaStream_t);
template Status adam_w_cuda(const AdamWTensors<BFloat16, float>&, const AdamWStep&, const AdamWFactors&, int64_t, cudaStream_t);
template Status adam_w_cuda(const AdamWTensors<BFloat16, BFloat16>&, const AdamWStep&, const AdamWFactors&, int64_t, cudaStream_t);

}  // namespace halo
