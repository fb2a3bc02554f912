// Vectors along rows, a power of two long, in the registers of warps.
#include "ops/hadamard_transform/hadamard_kernels.h"
#include "ops/hadamard_transform/hadamard_units.cuh"

namespace halo {

namespace {

using namespace hadamard_units;

constexpr int kThreads = 128;

/// Tiles of a warp: 4096 elements, 8 KB of 16-bit numbers that are on their way at a time.
constexpr int kTiles = 16;

/// Tiles that two warps exchange at a time where a vector has 8192 elements.
constexpr int kHalf = kTiles / 2;

/// A warp has 2^(4 - levels) vectors of 2^levels tiles; `pairs`: two warps have a vector of 32 tiles, and exchange half of what they have for its last level.
/// S_16 on the matrix units, exact on 16-bit numbers as they were read, the tiles by additions, S_16 again. Reads and writes each element once; bound by
/// memory. `has_max`: absmax is not null. grid: (warps' vectors, blocks of H of this size).
template <int levels, bool pairs, bool has_max, class T>
__global__ void __launch_bounds__(kThreads, std::is_same_v<T, float> ? 2 : 3)
    hadamard_rows_kernel(const T* x, T* y, [[maybe_unused]] float* absmax, int64_t rows, int64_t columns, float scale) {
  constexpr int kVectors = kTiles >> levels, kWarps = kThreads / cuda::kWarp;
  constexpr int64_t kSize = static_cast<int64_t>(kTile) << (levels + (pairs ? 1 : 0));
  const int lane = static_cast<int>(threadIdx.x) % cuda::kWarp, warp = static_cast<int>(threadIdx.x) / cuda::kWarp;
  const int64_t unit = static_cast<int64_t>(blockIdx.x) * kWarps + warp, first = pairs ? unit / 2 : unit * kVectors;
  const int64_t start = static_cast<int64_t>(blockIdx.y) * kSize + (pairs ? warp % 2 * kTiles * kTile : 0) + lane * kLaneElements;
  const auto at = [&](int t) { return (first + (t >> levels)) * columns + start + (t & ((1 << levels) - 1)) * kTile; };
  uint32_t signs[4], own_signs[4];
  fill_signs<BFloat16>(signs);
  fill_signs<T>(own_signs);
  float sums[kTiles][2][4];
  if constexpr (sizeof(T) == 2) {
    cuda::Pack<uint32_t, 4> words[kTiles];
#pragma unroll
    for (int t = 0; t < kTiles; ++t) {
      words[t] = {};
      if (first + (t >> levels) < rows) words[t] = *reinterpret_cast<const cuda::Pack<uint32_t, 4>*>(x + at(t));
    }
#pragma unroll
    for (int t = 0; t < kTiles; ++t) first_factor<T>(words[t].values, own_signs, sums[t]);
  } else {
    cuda::Pack<float, 4> packs[kTiles][2];
#pragma unroll
    for (int t = 0; t < kTiles; ++t) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        packs[t][half] = {};
        if (first + (t >> levels) < rows) packs[t][half] = *reinterpret_cast<const cuda::Pack<float, 4>*>(x + at(t) + 4 * half);
      }
    }
#pragma unroll
    for (int t = 0; t < kTiles; ++t) {
      float values[kLaneElements];
#pragma unroll
      for (int i = 0; i < kLaneElements; ++i) values[i] = packs[t][i / 4].values[i % 4];
      first_factor<kParts<T>>(values, signs, sums[t]);
    }
  }
  across_tiles<levels>(sums);
  if constexpr (pairs) {
    // The first warp gives its upper tiles for the lower ones of the second, and both have sums and differences of half of the tiles.
    auto* exchanged = cuda::dynamic_shared<float>();
    const int other = warp ^ 1, give = warp % 2 == 0 ? kHalf : 0;
    const auto slot = [&](int w, int t) { return exchanged + ((w * kHalf + t) * cuda::kWarp + lane) * kLaneElements; };
#pragma unroll
    for (int t = 0; t < kHalf; ++t) {
#pragma unroll
      for (int i = 0; i < kLaneElements; ++i) slot(warp, t)[i] = give == 0 ? sums[t][i / 4][i % 4] : sums[t + kHalf][i / 4][i % 4];
    }
    __syncthreads();
#pragma unroll
    for (int t = 0; t < kHalf; ++t) {
#pragma unroll
      for (int i = 0; i < kLaneElements; ++i) {
        const float theirs = slot(other, t)[i], mine = give == 0 ? sums[t + kHalf][i / 4][i % 4] : sums[t][i / 4][i % 4];
        sums[t][i / 4][i % 4] = mine + theirs;
        sums[t + kHalf][i / 4][i % 4] = give == 0 ? theirs - mine : mine - theirs;
      }
    }
  }
  cuda::LargestOfWords<T, has_max> largest;
#pragma unroll
  for (int t = 0; t < kTiles; ++t) {
    float values[kLaneElements];
    second_factor<kParts<T>>(sums[t], signs, values);
    if (first + (t >> levels) >= rows) continue;
    // Of a pair the first warp has the lower tiles of both halves of the vector, the second the upper ones.
    const int64_t to = pairs ? at(t % kHalf) + (t / kHalf - warp % 2) * kTiles * kTile + warp % 2 * kHalf * kTile : at(t);
    store_eight(y + to, values, scale, largest);
  }
  if constexpr (has_max) {
    __shared__ uint32_t scratch[cuda::kWarp];
    cuda::raise_absolute_max(largest.magnitude(), absmax, scratch);
  }
}

template <int levels, bool pairs, class T>
Status run(const T* x, T* y, float* absmax, int64_t rows, int64_t columns, int64_t blocks, float scale, cudaStream_t stream) {
  constexpr int64_t kWarps = kThreads / cuda::kWarp, kVectors = pairs ? kWarps / 2 : kWarps * (kTiles >> levels);
  constexpr int kBytes = pairs ? static_cast<int>(kWarps) * kHalf * kTile * static_cast<int>(sizeof(float)) : 0;
  const auto kernel = absmax == nullptr ? hadamard_rows_kernel<levels, pairs, false, T> : hadamard_rows_kernel<levels, pairs, true, T>;
  return cuda::launch(kernel, dim3(cuda::grid_for(rows, kVectors), static_cast<unsigned>(blocks)), kThreads, kBytes, stream, x, y, absmax, rows, columns,
                      scale);
}

}  // namespace

bool hadamard_rows_supports(DType type, const void* x, const void* y, int64_t columns, int64_t size) {
  const bool is_power = (size & (size - 1)) == 0 && size >= kTile && size <= 2 * kTiles * kTile;
  return is_power && columns * size_of(type) % 16 == 0 && cuda::is_aligned(x, 16) && cuda::is_aligned(y, 16);
}

Status hadamard_rows_cuda(DType type, const void* x, void* y, float* absmax, int64_t rows, int64_t columns, int64_t size, int64_t blocks, float scale,
                          cudaStream_t stream) {
  return cuda::dispatch_float(type, [&]<class T>() -> Status {
    const auto* from = static_cast<const T*>(x);
    auto* to = static_cast<T*>(y);
    switch (size / kTile) {
      case 1:
        return run<0, false, T>(from, to, absmax, rows, columns, blocks, scale, stream);
      case 2:
        return run<1, false, T>(from, to, absmax, rows, columns, blocks, scale, stream);
      case 4:
        return run<2, false, T>(from, to, absmax, rows, columns, blocks, scale, stream);
      case 8:
        return run<3, false, T>(from, to, absmax, rows, columns, blocks, scale, stream);
      case 16:
        return run<4, false, T>(from, to, absmax, rows, columns, blocks, scale, stream);
      default:
        return run<4, true, T>(from, to, absmax, rows, columns, blocks, scale, stream);
    }
  });
}

}  // namespace halo
