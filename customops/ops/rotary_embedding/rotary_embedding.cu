#include "ops/rotary_embedding/rotary_embedding.h"

#include "provider/kernels/broadcast.cuh"

namespace halo {

namespace {

/// A thread has `width` pairs of channels of one row. Reads and writes each element once; bound by memory.
template <int width, class T>
__global__ void __launch_bounds__(256)
    rotary_embedding_kernel(const T* x, const float* cos, const float* sin, const int64_t* position_ids, T* y, RotarySizes sizes, float sign, int64_t packs) {
  const int64_t pack = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (pack >= packs) return;
  const int64_t half = sizes.dim / 2, packs_row = half / width, row = pack / packs_row, at = pack % packs_row * width;
  const int64_t token = row % sizes.tokens, batch = row / (sizes.heads * sizes.tokens);
  const int64_t position = position_ids == nullptr ? token : position_ids[batch * sizes.tokens + token];
  T x1[width], x2[width], y1[width], y2[width];
  cuda::load_pack<width>(x, row * sizes.dim + at, 1, true, width, x1);
  cuda::load_pack<width>(x, row * sizes.dim + half + at, 1, true, width, x2);
  const bool is_inside = position >= 0 && position < sizes.positions;
#pragma unroll
  for (int i = 0; i < width; ++i) {
    const float c = is_inside ? cos[position * half + at + i] : std::numeric_limits<float>::quiet_NaN();
    const float s = is_inside ? sign * sin[position * half + at + i] : c;
    const float a = to_float(x1[i]), b = to_float(x2[i]);
    y1[i] = from_float<T>(a * c - b * s);
    y2[i] = from_float<T>(b * c + a * s);
  }
  cuda::store_pack<width>(y + row * sizes.dim + at, true, width, y1);
  cuda::store_pack<width>(y + row * sizes.dim + half + at, true, width, y2);
}

template <int width, class T>
Status run(const T* x, const float* cos, const float* sin, const int64_t* position_ids, T* y, const RotarySizes& sizes, float sign, cudaStream_t stream) {
  const int64_t packs = sizes.batch * sizes.heads * sizes.tokens * (sizes.dim / 2 / width);
  return cuda::launch(rotary_embedding_kernel<width, T>, cuda::grid_for(packs, 256), 256, 0, stream, x, cos, sin, position_ids, y, sizes, sign, packs);
}

}  // namespace

Status rotary_embedding_cuda(DType type, const void* x, const float* cos, const float* sin, const int64_t* position_ids, void* y, const RotarySizes& sizes,
                             bool inverse, cudaStream_t stream) {
  HALO_REQUIRE(sizes.dim % 2 == 0, "heads of an even number of channels", sizes.dim, "Check the graph.");
  HALO_REQUIRE(position_ids != nullptr || sizes.tokens <= sizes.positions, "tables of at least " << sizes.tokens << " positions, one a token", sizes.positions,
               "Give positionIds or longer tables.");
  const float sign = inverse ? -1.0f : 1.0f;
  return cuda::dispatch_float(type, [&]<class T>() {
    constexpr int kWidth = 16 / static_cast<int>(sizeof(T));
    const bool is_packed = sizes.dim / 2 % kWidth == 0 && cuda::is_aligned(x, 16) && cuda::is_aligned(y, 16);
    const auto* in = static_cast<const T*>(x);
    auto* out = static_cast<T*>(y);
    return is_packed ? run<kWidth>(in, cos, sin, position_ids, out, sizes, sign, stream) : run<1>(in, cos, sin, position_ids, out, sizes, sign, stream);
  });
}

}  // namespace halo
