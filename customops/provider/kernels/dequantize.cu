#include "provider/kernels/dequantize.h"

#include "provider/kernels/cast.cuh"

namespace halo::cuda {

namespace {

constexpr int kThreads = 256;

/// A thread has an element. Reads each code and writes each number once; bound by memory.
template <class From, class T>
__global__ void __launch_bounds__(kThreads) dequantize_kernel(const From* x, const T* scale, const From* zero, T* y, ScaleLayout layout, int64_t count) {
  const int64_t at = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (at >= count) return;
  const int64_t inner = at % layout.inner, row = at / layout.inner, middle = row % layout.size / layout.block, outer = row / layout.size;
  const int64_t scale_at = outer * layout.outer_step + middle * layout.size_step + inner * layout.inner_step;  // the element of scale and zero
  const float offset = zero == nullptr ? 0.0f : static_cast<float>(number_of(zero[scale_at]));
  y[at] = from_float<T>((static_cast<float>(number_of(x[at])) - offset) * to_float(scale[scale_at]));
}

/// A thread has a byte of codes, up to four neighbours of a row. Bound by memory.
template <class T>
__global__ void __launch_bounds__(kThreads)
    unpack_kernel(const uint8_t* codes, const T* scales, const uint8_t* packed_zeros, const T* zeros, T* y, PackedWeights w, int64_t blocks, int64_t count) {
  const int64_t at = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (at >= count) return;
  const int64_t block_bytes = w.block * w.bits / 8, block = at / block_bytes % blocks, row = at / block_bytes / blocks;
  const uint32_t byte = codes[at], most = (1u << w.bits) - 1;
  const float scale = to_float(scales[row * blocks + block]);
  float zero = static_cast<float>(1 << (w.bits - 1));
  if (zeros != nullptr) zero = to_float(zeros[row * blocks + block]);
  if (packed_zeros != nullptr) {
    const int64_t bit = block * w.bits, zero_bytes = (blocks * w.bits + 7) / 8;
    zero = static_cast<float>((packed_zeros[row * zero_bytes + bit / 8] >> (bit % 8)) & most);
  }
  const int64_t first = block * w.block + at % block_bytes * (8 / w.bits);
  for (int64_t i = 0; i < 8 / w.bits && first + i < w.k; ++i) {
    y[row * w.k + first + i] = from_float<T>((static_cast<float>((byte >> (i * w.bits)) & most) - zero) * scale);
  }
}

}  // namespace

bool dequantize_supports(DType code, DType type) { return CodeTypes::has(code) && FloatTypes::has(type); }

Status dequantize(DType code, DType type, const void* x, const void* scale, const void* zero, void* y, const ScaleLayout& layout, cudaStream_t stream) {
  HALO_REQUIRE(layout.block >= 1, "blocks of 1 element or more", layout.block, "Check block_size.");
  const int64_t count = layout.outer * layout.size * layout.inner;
  return dispatch(CodeTypes(), code, [&]<class From>() {
    return dispatch_float(type, [&]<class T>() {
      return launch(dequantize_kernel<From, T>, grid_for(count, kThreads), kThreads, 0, stream, static_cast<const From*>(x), static_cast<const T*>(scale),
                    static_cast<const From*>(zero), static_cast<T*>(y), layout, count);
    });
  });
}

Status unpack_weights(DType type, const uint8_t* codes, const void* scales, DType zero_type, const void* zeros, void* y, const PackedWeights& weights,
                      cudaStream_t stream) {
  const PackedWeights& w = weights;
  HALO_REQUIRE(w.bits == 2 || w.bits == 4 || w.bits == 8, "weights of 2, 4 or 8 bits", w.bits, "Check bits.");
  HALO_REQUIRE(w.block >= 1 && w.block * w.bits % 8 == 0, "blocks of whole bytes", w.block << " weights of " << w.bits << " bits", "Check block_size.");
  const int64_t count = w.n * w.blocks() * (w.block * w.bits / 8);
  return dispatch_float(type, [&]<class T>() {
    const bool is_packed = zero_type == DType::kUInt8;
    return launch(unpack_kernel<T>, grid_for(count, kThreads), kThreads, 0, stream, codes, static_cast<const T*>(scales),
                  is_packed ? static_cast<const uint8_t*>(zeros) : nullptr, is_packed ? nullptr : static_cast<const T*>(zeros), static_cast<T*>(y), w,
                  w.blocks(), count);
  });
}

}  // namespace halo::cuda
