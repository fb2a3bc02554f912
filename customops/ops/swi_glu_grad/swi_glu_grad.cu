#include "ops/swi_glu_grad/swi_glu_grad.h"

#include "provider/kernels/absolute_max.cuh"
#include "provider/kernels/words.cuh"

namespace halo {

namespace {

constexpr int kThreads = 256;

/// Packs of a thread, all of which are loaded before the first is computed.
constexpr int kPacks = 2;

/// A pack of what the forward part kept: numbers, or codes of one block with their scale. 0 behind the end.
template <class T, class G>
struct Kept {
  cuda::Words<T> words;
  __device__ void load(const T* from, const float*, int64_t at, bool is_packed, int length) { words.load(from + at, is_packed, length); }
  __device__ float number(int i) const { return words.number(i); }
};

template <class T>
struct Kept<T, uint8_t> {
  static constexpr int kWidth = cuda::kRowWidth<T>;
  static_assert(kCodeBlock % kWidth == 0, "a pack has one scale");
  uint8_t codes[kWidth] = {};
  float scale = 0;
  __device__ void load(const uint8_t* from, const float* scales, int64_t at, bool is_packed, int length) {
    cuda::load_pack<kWidth>(from, at, 1, is_packed, length, codes);
    scale = scales[at / kCodeBlock];
  }
  __device__ float number(int i) const { return Int8::decode(codes[i]) * scale; }
};

/// A thread has kPacks packs of 16 bytes of each tensor, a block apart. Reads and writes each element once; bound by memory.
template <bool has_max, bool has_y, class G, class T>
__global__ void __launch_bounds__(kThreads) swi_glu_grad_kernel(const T* dy, const G* gate, const G* up, const float* gate_scales, const float* up_scales,
                                                                T* dgate, T* dup, T* y, float* gate_absmax, float* up_absmax, int64_t count, bool is_aligned) {
  constexpr int kWidth = cuda::kRowWidth<T>;
  __shared__ uint32_t scratch[cuda::kWarp];
  const int64_t first = (static_cast<int64_t>(blockIdx.x) * kPacks * kThreads + threadIdx.x) * kWidth;
  cuda::Words<T> errors[kPacks];
  Kept<T, G> gates[kPacks], ups[kPacks];
  int lengths[kPacks];
#pragma unroll
  for (int p = 0; p < kPacks; ++p) {
    const int64_t at = first + p * kThreads * kWidth;
    lengths[p] = count - at < kWidth ? static_cast<int>(count - at) : kWidth;  // elements of the pack, none where it lies behind the end
    if (lengths[p] <= 0) continue;
    const bool is_packed = is_aligned && lengths[p] == kWidth;
    errors[p].load(dy + at, is_packed, lengths[p]);
    gates[p].load(gate, gate_scales, at, is_packed, lengths[p]);
    ups[p].load(up, up_scales, at, is_packed, lengths[p]);
  }
  uint32_t gate_largest = 0, up_largest = 0;
#pragma unroll
  for (int p = 0; p < kPacks; ++p) {
    if (lengths[p] <= 0) continue;
    cuda::Words<T> gate_gradients, up_gradients, units;
#pragma unroll
    for (int i = 0; i < kWidth; ++i) {
      const float error = errors[p].number(i), g = gates[p].number(i), u = ups[p].number(i);  // 0 behind the end
      const float one_plus = 1.0f + expf(-g), s = 1.0f / one_plus;
      const T gate_gradient = from_float<T>(error * u * s * (1.0f + g * (1.0f - s))), up_gradient = from_float<T>(error * (g * s));
      gate_gradients.set(i, gate_gradient);
      up_gradients.set(i, up_gradient);
      if (has_y) units.set(i, from_float<T>(g / one_plus * u));  // as swi_glu rounds
      if (!has_max) continue;
      gate_largest = cuda::LargerOf()(gate_largest, cuda::magnitude_of(gate_gradient));
      up_largest = cuda::LargerOf()(up_largest, cuda::magnitude_of(up_gradient));
    }
    const bool is_packed = is_aligned && lengths[p] == kWidth;
    gate_gradients.store(dgate + first + p * kThreads * kWidth, is_packed, lengths[p]);
    up_gradients.store(dup + first + p * kThreads * kWidth, is_packed, lengths[p]);
    if (has_y) units.store(y + first + p * kThreads * kWidth, is_packed, lengths[p]);
  }
  if (!has_max) return;
  cuda::raise_absolute_max(gate_largest, gate_absmax, scratch);
  cuda::raise_absolute_max(up_largest, up_absmax, scratch);
}

template <class G, class T>
Status start(const void* dy, const void* gate, const void* up, const float* gate_scales, const float* up_scales, void* dgate, void* dup, void* y,
             float* gate_absmax, float* up_absmax, int64_t count, bool is_aligned, cudaStream_t stream) {
  const auto of = [&]<bool has_max>() { return y != nullptr ? swi_glu_grad_kernel<has_max, true, G, T> : swi_glu_grad_kernel<has_max, false, G, T>; };
  const auto kernel = gate_absmax != nullptr ? of.template operator()<true>() : of.template operator()<false>();
  return cuda::launch(kernel, cuda::grid_for(count, kThreads * kPacks * cuda::kRowWidth<T>), kThreads, 0, stream, static_cast<const T*>(dy),
                      static_cast<const G*>(gate), static_cast<const G*>(up), gate_scales, up_scales, static_cast<T*>(dgate), static_cast<T*>(dup),
                      static_cast<T*>(y), gate_absmax, up_absmax, count, is_aligned);
}

}  // namespace

Status swi_glu_grad_cuda(DType type, const void* dy, const void* gate, const void* up, const float* gate_scales, const float* up_scales, void* dgate, void* dup,
                         void* y, float* gate_absmax, float* up_absmax, int64_t count, cudaStream_t stream) {
  HALO_REQUIRE((gate_scales == nullptr) == (up_scales == nullptr), "scales of gate and up, or of none", "one", "Keep both in the same form.");
  HALO_REQUIRE((gate_absmax == nullptr) == (up_absmax == nullptr), "both maxima or none", "one", "Ask for both.");
  bool is_aligned = true;
  for (const void* pointer : {dy, gate, up, static_cast<const void*>(dgate), static_cast<const void*>(dup), static_cast<const void*>(y)}) {
    is_aligned = is_aligned && cuda::is_aligned(pointer, 16);
  }
  HALO_RETURN_IF_ERROR(cuda::clear_absolute_max(gate_absmax, stream));
  HALO_RETURN_IF_ERROR(cuda::clear_absolute_max(up_absmax, stream));
  return cuda::dispatch_float(type, [&]<class T>() {
    const auto run = gate_scales != nullptr ? start<uint8_t, T> : start<T, T>;
    return run(dy, gate, up, gate_scales, up_scales, dgate, dup, y, gate_absmax, up_absmax, count, is_aligned, stream);
  });
}

}  // namespace halo
