#include "common/codes.h"
#include "ops/row_codes/row_codes.h"
#include "provider/kernels/device.cuh"

namespace halo {

namespace {

constexpr int kThreads = 256, kWarps = kThreads / cuda::kWarp;

/// Codes that a thread decodes together.
constexpr int kWidth = 4;

struct Larger {
  __device__ uint32_t operator()(uint32_t a, uint32_t b) const { return a > b ? a : b; }
};

/// A warp has a block of elements, a lane every 32nd of them. The second read of a block comes from the cache. Reads X once, writes a byte an element;
/// bound by memory.
template <class Format, class T>
__global__ void __launch_bounds__(kThreads) quantize_rows_kernel(const T* x, uint8_t* codes, float* scales, int64_t blocks, int64_t block) {
  const int64_t b = static_cast<int64_t>(blockIdx.x) * kWarps + threadIdx.x / cuda::kWarp;
  const int lane = static_cast<int>(threadIdx.x) % cuda::kWarp;
  if (b >= blocks) return;  // with its whole warp
  const T* const own = x + b * block;
  uint32_t largest = 0;
  for (int64_t i = lane; i < block; i += cuda::kWarp) largest = Larger()(largest, std::bit_cast<uint32_t>(to_float(own[i])) & detail::kMagnitude);
  largest = cuda::over_warp(Larger(), largest);
  const float exact = std::bit_cast<float>(largest) / Format::kQMax;
  const bool is_finite = largest < detail::kInfinity;
  const float scale = !is_finite ? std::numeric_limits<float>::quiet_NaN() : (exact < std::numeric_limits<float>::min() ? 1.0f : exact);
  if (lane == 0) scales[b] = scale;
  for (int64_t i = lane; i < block; i += cuda::kWarp) codes[b * block + i] = is_finite ? Format::encode(to_float(own[i]) / scale) : uint8_t{0};
}

/// A thread has kWidth consecutive elements of y, of one block where kWidth divides it. Reads each code once, writes 4 bytes an element; bound by memory.
template <class Format, bool is_whole>
__global__ void __launch_bounds__(kThreads) sum_rows_kernel(const uint8_t* codes, const float* scales, float* y, int64_t parts, int64_t blocks, int64_t block) {
  const int64_t count = blocks * block, at = (static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x) * kWidth;
  if (at >= count) return;
  if constexpr (is_whole) {
    cuda::Pack<float, kWidth> sums;
    for (int64_t part = 0; part < parts; ++part) {
      const auto pack = *reinterpret_cast<const cuda::Pack<uint8_t, kWidth>*>(codes + part * count + at);
      const float scale = scales[part * blocks + at / block];
#pragma unroll
      for (int i = 0; i < kWidth; ++i) {
        const float number = Format::decode(pack.values[i]);
        sums.values[i] = part == 0 ? number * scale : fmaf(number, scale, sums.values[i]);
      }
    }
    *reinterpret_cast<cuda::Pack<float, kWidth>*>(y + at) = sums;
  } else {
    for (int64_t i = at; i < at + kWidth && i < count; ++i) {
      float sum = Format::decode(codes[i]) * scales[i / block];
      for (int64_t part = 1; part < parts; ++part) sum = fmaf(Format::decode(codes[part * count + i]), scales[part * blocks + i / block], sum);
      y[i] = sum;
    }
  }
}

}  // namespace

Status quantize_rows_cuda(const char* format, DType type, const void* x, void* codes, float* scales, int64_t blocks, int64_t block, cudaStream_t stream) {
  return dispatch_format(format, [&]<class Format>() {
    return cuda::dispatch_float(type, [&]<class T>() {
      return cuda::launch(quantize_rows_kernel<Format, T>, cuda::grid_for(blocks, kWarps), kThreads, 0, stream, static_cast<const T*>(x),
                          static_cast<uint8_t*>(codes), scales, blocks, block);
    });
  });
}

Status sum_rows_cuda(DType type, const void* codes, const float* scales, float* y, int64_t parts, int64_t blocks, int64_t block, cudaStream_t stream) {
  const bool is_whole = block % kWidth == 0 && cuda::is_aligned(codes, kWidth) && cuda::is_aligned(y, kWidth * sizeof(float));
  return dispatch_codes(type, [&]<class Format>() {
    return cuda::launch(is_whole ? sum_rows_kernel<Format, true> : sum_rows_kernel<Format, false>, cuda::grid_for(blocks * block, kThreads * kWidth), kThreads,
                        0, stream, static_cast<const uint8_t*>(codes), scales, y, parts, blocks, block);
  });
}

}  // namespace halo
