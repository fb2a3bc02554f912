#include "ops/rotary_embedding/rotary_embedding.h"

#include "provider/kernels/absolute_max.cuh"
#include "provider/kernels/broadcast.cuh"

namespace halo {

namespace {

/// Heads of a thread: angles are read once for all of them, and their packs are on the way together.
constexpr int kThreadHeads = 4;

/// A thread has `width` pairs of channels of one token in kThreadHeads heads. Reads and writes each element once; bound by memory. grid: (threads for tokens
/// and packs, groups of heads, blocks that walk over the batch).
template <int width, class T>
__global__ void __launch_bounds__(256) rotary_embedding_kernel(const T* x, const float* cos, const float* sin, const int64_t* position_ids, T* y, float* absmax,
                                                               RotarySizes sizes, HeadStrides strides, float sign) {
  __shared__ uint32_t scratch[cuda::kWarp];
  uint32_t largest = 0;
  const int64_t half = sizes.dim / 2, packs_row = half / width, pack = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  const int64_t token = pack / packs_row, at = pack % packs_row * width;
  const int64_t first_head = static_cast<int64_t>(blockIdx.y) * kThreadHeads;
  for (int64_t batch = blockIdx.z; token < sizes.tokens && batch < sizes.batch; batch += gridDim.z) {
    const int64_t position = position_ids == nullptr ? token : position_ids[batch * sizes.tokens + token];
    const auto offset = [&](int n) { return batch * strides.batch + (first_head + n) * strides.head + token * strides.token + at; };
    T x1[kThreadHeads][width], x2[kThreadHeads][width];
#pragma unroll
    for (int n = 0; n < kThreadHeads; ++n) {
      if (first_head + n >= sizes.heads) continue;
      cuda::load_pack<width>(x, offset(n), 1, true, width, x1[n]);
      cuda::load_pack<width>(x, offset(n) + half, 1, true, width, x2[n]);
    }
    float c[width], s[width];
    const bool is_inside = position >= 0 && position < sizes.positions;
#pragma unroll
    for (int i = 0; i < width; ++i) {
      c[i] = is_inside ? cos[position * half + at + i] : std::numeric_limits<float>::quiet_NaN();
      s[i] = is_inside ? sign * sin[position * half + at + i] : c[i];
    }
#pragma unroll
    for (int n = 0; n < kThreadHeads; ++n) {
      if (first_head + n >= sizes.heads) continue;
      T y1[width], y2[width];
#pragma unroll
      for (int i = 0; i < width; ++i) {
        const float a = to_float(x1[n][i]), b = to_float(x2[n][i]);
        y1[i] = from_float<T>(a * c[i] - b * s[i]);
        y2[i] = from_float<T>(b * c[i] + a * s[i]);
        if (absmax != nullptr) largest = cuda::LargerOf()(largest, cuda::LargerOf()(cuda::magnitude_of(y1[i]), cuda::magnitude_of(y2[i])));
      }
      cuda::store_pack<width>(y + offset(n), true, width, y1);
      cuda::store_pack<width>(y + offset(n) + half, true, width, y2);
    }
  }
  if (absmax != nullptr) cuda::raise_absolute_max(largest, absmax, scratch);
}

template <int width, class T>
Status run(const T* x, const float* cos, const float* sin, const int64_t* position_ids, T* y, float* absmax, const RotarySizes& sizes, float sign,
           cudaStream_t stream) {
  const dim3 grid(cuda::grid_for(sizes.tokens * (sizes.dim / 2 / width), 256), static_cast<unsigned>(cuda::ceil_div(sizes.heads, int64_t{kThreadHeads})),
                  static_cast<unsigned>(std::min<int64_t>(sizes.batch, cuda::kMostBlocksYZ)));
  return cuda::launch(rotary_embedding_kernel<width, T>, grid, 256, 0, stream, x, cos, sin, position_ids, y, absmax, sizes,
                      head_strides(sizes.layout, sizes.heads, sizes.tokens, sizes.dim), sign);
}

}  // namespace

Status rotary_embedding_cuda(DType type, const void* x, const float* cos, const float* sin, const int64_t* position_ids, void* y, float* absmax,
                             const RotarySizes& sizes, bool inverse, cudaStream_t stream) {
  HALO_REQUIRE(sizes.dim % 2 == 0, "heads of an even number of channels", sizes.dim, "Check the graph.");
  HALO_REQUIRE(position_ids != nullptr || sizes.tokens <= sizes.positions, "tables of at least " << sizes.tokens << " positions, one a token", sizes.positions,
               "Give positionIds or longer tables.");
  HALO_REQUIRE(sizes.heads <= kThreadHeads * cuda::kMostBlocksYZ, "at most " << kThreadHeads * cuda::kMostBlocksYZ << " heads", sizes.heads,
               "Check the graph.");
  HALO_RETURN_IF_ERROR(cuda::clear_absolute_max(absmax, stream));
  const float sign = inverse ? -1.0f : 1.0f;
  return cuda::dispatch_float(type, [&]<class T>() {
    constexpr int kWidth = 16 / static_cast<int>(sizeof(T));
    const bool is_packed = sizes.dim / 2 % kWidth == 0 && cuda::is_aligned(x, 16) && cuda::is_aligned(y, 16);
    const auto* in = static_cast<const T*>(x);
    auto* out = static_cast<T*>(y);
    return is_packed ? run<kWidth>(in, cos, sin, position_ids, out, absmax, sizes, sign, stream)
                     : run<1>(in, cos, sin, position_ids, out, absmax, sizes, sign, stream);
  });
}

}  // namespace halo
