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
__global__ void __launch_bounds__(kThreads) adam_w_kernel(AdamWTensors<T, G> t, AdamWStep step, AdamWFactors factors, int64_t count, bool is_packed) {
  constexpr int width = kWidth<T>;
  const int64_t pack = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x, at = pack * width;
  if (at >= count) return;
  const int length = count - at < width ? static_cast<int>(count - at) : width;  // elements of the pack, 1 to width
  const bool is_whole = is_packed && length == width;
  T p[width], m[width], v[width];
  G gradient[width];
  cuda::load_pack<width>(t.p, at, 1, is_whole, length, p);
  cuda::load_pack<width>(t.gradient, at, 1, is_whole, length, gradient);
  cuda::load_pack<width>(t.m, at, 1, is_whole, length, m);
  cuda::load_pack<width>(t.v, at, 1, is_whole, length, v);
  const AdamWUpdate update(factors, step);
  if constexpr (std::is_same_v<T, float>) {
#pragma unroll
    for (int i = 0; i < width; ++i) {
      if (i < length) update(p[i], gradient[i], m[i], v[i]);
    }
  } else {
    const AdamWRounding rounding(step);
    const auto block = static_cast<uint64_t>(pack);
    const PhiloxBlock for_p = rounding.p.block(block), for_m = rounding.m.block(block), for_v = rounding.v.block(block);
#pragma unroll
    for (int i = 0; i < width; ++i) {
      if (i >= length) continue;
      float wide_p = to_float(p[i]), wide_m = to_float(m[i]), wide_v = to_float(v[i]);
      update(wide_p, to_float(gradient[i]), wide_m, wide_v);
      p[i] = round_by_chance(wide_p, bits_of(for_p, i));
      m[i] = round_by_chance(wide_m, bits_of(for_m, i));
      v[i] = round_by_chance(wide_v, bits_of(for_v, i));
    }
  }
  cuda::store_pack<width>(t.new_p + at, is_whole, length, p);
  cuda::store_pack<width>(t.new_m + at, is_whole, length, m);
  cuda::store_pack<width>(t.new_v + at, is_whole, length, v);
}

}  // namespace

template <class T, class G>
Status adam_w_cuda(const AdamWTensors<T, G>& t, const AdamWStep& step, const AdamWFactors& factors, int64_t count, cudaStream_t stream) {
  bool is_packed = cuda::is_aligned(t.gradient, kWidth<T> * static_cast<int64_t>(sizeof(G)));
  for (const T* pointer : {t.p, t.m, t.v, static_cast<const T*>(t.new_p), static_cast<const T*>(t.new_m), static_cast<const T*>(t.new_v)}) {
    is_packed = is_packed && cuda::is_aligned(pointer, 16);
  }
  return cuda::launch(adam_w_kernel<T, G>, cuda::grid_for(count, kThreads * kWidth<T>), kThreads, 0, stream, t, step, factors, count, is_packed);
}

template Status adam_w_cuda(const AdamWTensors<float, float>&, const AdamWStep&, const AdamWFactors&, int64_t, cudaStream_t);
template Status adam_w_cuda(const AdamWTensors<BFloat16, float>&, const AdamWStep&, const AdamWFactors&, int64_t, cudaStream_t);
template Status adam_w_cuda(const AdamWTensors<BFloat16, BFloat16>&, const AdamWStep&, const AdamWFactors&, int64_t, cudaStream_t);

}  // namespace halo
