#include "ops/adam_w/adam_w.h"

#include "provider/kernels/words.cuh"

namespace halo {

namespace {

constexpr int kThreads = 256;

/// Neighbours of a thread: 16 bytes of a parameter, and with 16 bits the elements that share a block of random words.
template <class T>
constexpr int kWidth = 16 / static_cast<int>(sizeof(T));

/// A thread has a pack of each tensor. 28 bytes an element; bound by memory.
__global__ void __launch_bounds__(kThreads, 4)
    adam_w_kernel(AdamWTensors<float, float> t, AdamWStep step, AdamWFactors factors, int64_t count, bool is_packed) {
  constexpr int width = kWidth<float>;
  const int64_t at = (static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x) * width;
  if (at >= count) return;
  const int length = count - at < width ? static_cast<int>(count - at) : width;  // elements of the pack, 1 to width
  const bool is_whole = is_packed && length == width;
  float p[width] = {}, gradient[width] = {}, m[width] = {}, v[width] = {};
  cuda::load_pack<width>(t.p, at, 1, is_whole, length, p);
  cuda::load_pack<width>(t.gradient, at, 1, is_whole, length, gradient);
  cuda::load_pack<width>(t.m, at, 1, is_whole, length, m);
  cuda::load_pack<width>(t.v, at, 1, is_whole, length, v);
  const AdamWUpdate update(factors, step);
#pragma unroll
  for (int i = 0; i < width; ++i) {
    if (i < length) update(p[i], gradient[i], m[i], v[i]);
  }
  cuda::store_pack<width>(t.new_p + at, is_whole, length, p);
  cuda::store_pack<width>(t.new_m + at, is_whole, length, m);
  cuda::store_pack<width>(t.new_v + at, is_whole, length, v);
}

/// The eight elements of a pack, as AdamWRounded has each; two of bfloat16 stay a word but while they are computed.
template <bool by_inverse, class G>
__device__ void update_pack(const AdamWRounded& rounded, const PhiloxBlock& block, const cuda::Words<G, 8>& gradient, cuda::Words<BFloat16>& p,
                            cuda::Words<BFloat16>& m, cuda::Words<BFloat16>& v) {
#pragma unroll
  for (int word = 0; word < 4; ++word) {
    uint32_t of_p[2], of_m[2], of_v[2];
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int i = 2 * word + half;
      float wide_p = p.number(i), wide_m = m.number(i), wide_v = v.number(i);
      rounded.update.template apply<by_inverse>(wide_p, gradient.number(i), wide_m, wide_v);
      of_p[half] = cuda::rounded_above(wide_p, half_of(block, i));
      of_m[half] = cuda::rounded_above(wide_m, half_of(block, (i + AdamWRounded::kFirst) % 8));
      of_v[half] = cuda::rounded_above(wide_v, half_of(block, (i + AdamWRounded::kSecond) % 8));
    }
    p.words[word] = cuda::upper_halves(of_p[0], of_p[1]);
    m.words[word] = cuda::upper_halves(of_m[0], of_m[1]);
    v.words[word] = cuda::upper_halves(of_v[0], of_v[1]);
  }
}

/// A thread has a pack of each tensor. 14 or 16 bytes an element; bound by memory, and nearly by its 70 instructions an element.
template <class G>
__global__ void __launch_bounds__(kThreads, 4)
    adam_w_rounded_kernel(AdamWTensors<BFloat16, G> t, AdamWStep step, AdamWFactors factors, int64_t count, bool is_packed) {
  constexpr int width = kWidth<BFloat16>;
  const int64_t pack = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x, at = pack * width;
  if (at >= count) return;
  const int length = count - at < width ? static_cast<int>(count - at) : width;  // elements of the pack, 1 to width; zeros behind
  const bool is_whole = is_packed && length == width;
  cuda::Words<BFloat16> p, m, v;
  cuda::Words<G, width> gradient;
  p.load(t.p + at, is_whole, length);
  gradient.load(t.gradient + at, is_whole, length);
  m.load(t.m + at, is_whole, length);
  v.load(t.v + at, is_whole, length);
  const AdamWRounded rounded(factors, step);
  const PhiloxBlock block = rounded.stream.block(static_cast<uint64_t>(pack));
  if (rounded.update.inverse_root2 != 0.0f) {
    update_pack<true>(rounded, block, gradient, p, m, v);
  } else {
    update_pack<false>(rounded, block, gradient, p, m, v);
  }
  p.store(t.new_p + at, is_whole, length);
  m.store(t.new_m + at, is_whole, length);
  v.store(t.new_v + at, is_whole, length);
}

}  // namespace

template <class T, class G>
Status adam_w_cuda(const AdamWTensors<T, G>& t, const AdamWStep& step, const AdamWFactors& factors, int64_t count, cudaStream_t stream) {
  bool is_packed = cuda::is_aligned(t.gradient, 16);
  const T* const pointers[] = {t.p, t.m, t.v, t.new_p, t.new_m, t.new_v};  // named: nvcc 13.0 writes a list of T in place wrongly
  for (const T* pointer : pointers) is_packed = is_packed && cuda::is_aligned(pointer, 16);
  const auto blocks = cuda::grid_for(count, kThreads * kWidth<T>);
  if constexpr (std::is_same_v<T, float>) {
    return cuda::launch(adam_w_kernel, blocks, kThreads, 0, stream, t, step, factors, count, is_packed);
  } else {
    return cuda::launch(adam_w_rounded_kernel<G>, blocks, kThreads, 0, stream, t, step, factors, count, is_packed);
  }
}

template Status adam_w_cuda(const AdamWTensors<float, float>&, const AdamWStep&, const AdamWFactors&, int64_t, cudaStream_t);
template Status adam_w_cuda(const AdamWTensors<BFloat16, float>&, const AdamWStep&, const AdamWFactors&, int64_t, cudaStream_t);
template Status adam_w_cuda(const AdamWTensors<BFloat16, BFloat16>&, const AdamWStep&, const AdamWFactors&, int64_t, cudaStream_t);

}  // namespace halo
