#include "common/codes.h"
#include "ops/quantize/quantize.h"
#include "provider/kernels/rows.cuh"

namespace halo {

namespace {

constexpr int kThreads = 256;

/// Blocks of the first pass, each of which leaves one partial result.
constexpr int64_t kMostPartials = 1024;

/// Elements of a block below which more blocks gain nothing.
constexpr int64_t kLeastPiece = 16384;

int64_t partials_of(int64_t count) { return std::clamp<int64_t>(count / kLeastPiece, 1, kMostPartials); }

/// max |x| with NaN above Inf, and that of numbers alone, as bits: on magnitudes their order is that of the numbers.
struct Magnitudes {
  uint32_t all, numbers;
};

struct Larger {
  __device__ uint32_t operator()(uint32_t a, uint32_t b) const { return a > b ? a : b; }
};

__device__ Magnitudes over_block(Magnitudes own, uint32_t* scratch) {
  return {cuda::over_block(Larger(), own.all, 0u, scratch), cuda::over_block(Larger(), own.numbers, 0u, scratch)};
}

__device__ uint32_t bits_of(float x) { return std::bit_cast<uint32_t>(x); }

/// A thread has 16 bytes a step. Reads x once; bound by memory.
template <class T>
__global__ void __launch_bounds__(kThreads) absolute_max_kernel(const T* x, int64_t count, Magnitudes* partials, bool is_packed) {
  constexpr int kWidth = cuda::kRowWidth<T>;
  __shared__ uint32_t scratch[cuda::kWarp];
  Magnitudes own{0, 0};
  for (int64_t at = (static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x) * kWidth; at < count;
       at += static_cast<int64_t>(gridDim.x) * kThreads * kWidth) {
    const int length = count - at < kWidth ? static_cast<int>(count - at) : kWidth;
    T values[kWidth];
    cuda::load_pack<kWidth>(x, at, 1, is_packed && length == kWidth, length, values);
#pragma unroll
    for (int i = 0; i < kWidth; ++i) {
      const uint32_t magnitude = i < length ? bits_of(to_float(values[i])) & detail::kMagnitude : 0u;
      own.all = Larger()(own.all, magnitude);
      own.numbers = Larger()(own.numbers, magnitude > detail::kInfinity ? 0u : magnitude);
    }
  }
  own = over_block(own, scratch);
  if (threadIdx.x == 0) partials[blockIdx.x] = own;
}

__device__ bool is_negative(float x) { return (bits_of(x) & 0x80000000u) != 0; }
__device__ bool is_negative(BFloat16 x) { return (x.bits & 0x8000u) != 0; }
__device__ bool is_negative(Float16 x) { return (x.bits & 0x8000u) != 0; }

/// Format::encode of x / scale, with the sign of x where that is a NaN: neither the division nor the conversion of a float16 keeps it.
template <class Format, class T>
__device__ uint8_t encode(T x, float scale) {
  const float quotient = to_float(x) / scale;
#ifndef HALO_CUDA_EMULATED
  if constexpr (std::is_same_v<Format, E4M3> || std::is_same_v<Format, E5M2>) {
    uint16_t pair;
    if constexpr (std::is_same_v<Format, E4M3>) {
      asm("cvt.rn.satfinite.e4m3x2.f32 %0, %1, %2;" : "=h"(pair) : "f"(0.0f), "f"(quotient));
    } else {
      asm("cvt.rn.satfinite.e5m2x2.f32 %0, %1, %2;" : "=h"(pair) : "f"(0.0f), "f"(quotient));
    }
    return static_cast<uint8_t>(quotient != quotient ? (is_negative(x) ? 0xFF : 0x7F) : pair);
  }
#endif
  if constexpr (!std::is_same_v<Format, Int8>) {
    if (quotient != quotient) return is_negative(x) ? 0xFF : 0x7F;
  }
  return Format::encode(quotient);
}

/// Every block finds the scale from the partial results, then encodes 16 bytes a thread and step. Reads x once, writes a byte for each; bound by memory.
template <class Format, class T>
__global__ void __launch_bounds__(kThreads)
    encode_kernel(const T* x, uint8_t* codes, float* scale, int64_t count, const Magnitudes* partials, int64_t partials_count, bool is_packed) {
  constexpr int kWidth = cuda::kRowWidth<T>;
  __shared__ uint32_t scratch[cuda::kWarp];
  Magnitudes all{0, 0};
  for (int64_t i = threadIdx.x; i < partials_count; i += kThreads) {
    all.all = Larger()(all.all, partials[i].all);
    all.numbers = Larger()(all.numbers, partials[i].numbers);
  }
  all = over_block(all, scratch);
  const uint32_t used_bits = std::is_same_v<Format, Int8> ? all.all : all.numbers;
  const float exact = std::bit_cast<float>(used_bits) / Format::kQMax;
  const float used = exact < std::numeric_limits<float>::min() ? 1.0f : exact;
  if (blockIdx.x == 0 && threadIdx.x == 0) *scale = used;
  for (int64_t at = (static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x) * kWidth; at < count;
       at += static_cast<int64_t>(gridDim.x) * kThreads * kWidth) {
    const int length = count - at < kWidth ? static_cast<int>(count - at) : kWidth;
    const bool is_whole = is_packed && length == kWidth;
    T values[kWidth];
    uint8_t results[kWidth];
    cuda::load_pack<kWidth>(x, at, 1, is_whole, length, values);
#pragma unroll
    for (int i = 0; i < kWidth; ++i) results[i] = i < length ? encode<Format>(values[i], used) : 0;
    cuda::store_pack<kWidth>(codes + at, is_whole, length, results);
  }
}

template <class Format>
Status run(DType type, const void* x, uint8_t* codes, float* scale, int64_t count, Magnitudes* partials, cudaStream_t stream) {
  return cuda::dispatch_float(type, [&]<class T>() {
    constexpr int64_t kWidth = cuda::kRowWidth<T>;
    const bool is_packed = cuda::is_aligned(x, 16) && cuda::is_aligned(codes, kWidth);
    const int64_t partials_count = partials_of(count);
    HALO_RETURN_IF_ERROR(
        cuda::launch(absolute_max_kernel<T>, static_cast<unsigned>(partials_count), kThreads, 0, stream, static_cast<const T*>(x), count, partials, is_packed));
    const auto blocks = static_cast<unsigned>(std::clamp<int64_t>(cuda::ceil_div(count, kThreads * kWidth * 4), 1, 4096));
    return cuda::launch(encode_kernel<Format, T>, blocks, kThreads, 0, stream, static_cast<const T*>(x), codes, scale, count, partials, partials_count,
                        is_packed);
  });
}

}  // namespace

int64_t quantize_workspace_cuda(int64_t count) { return partials_of(count) * static_cast<int64_t>(sizeof(Magnitudes)); }

Status quantize_cuda(const char* format, DType type, const void* x, void* codes, float* scale, int64_t count, void* workspace, cudaStream_t stream) {
  return dispatch_format(
      format, [&]<class Format>() { return run<Format>(type, x, static_cast<uint8_t*>(codes), scale, count, static_cast<Magnitudes*>(workspace), stream); });
}

}  // namespace halo
