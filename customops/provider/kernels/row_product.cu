#include "provider/kernels/row_product.h"

#include "provider/kernels/device.cuh"
#include "provider/kernels/words.cuh"

namespace halo::cuda {

namespace {

/// Few warps a block, so that a product of few columns has work for every multiprocessor.
constexpr int kThreads = 128, kWarps = kThreads / kWarp;

/// Packs of 16 bytes that a lane has in flight: 2 KiB of weights a warp.
constexpr int kPacks = 4;

/// A warp has a column n of Y, a lane packs of 16 bytes of its weights, 512 bytes apart. Reads W once, at the rate of memory; A comes from the caches, where
/// all warps of a multiprocessor want the same.
template <class T, int rows>
__global__ void __launch_bounds__(kThreads)
    row_product_kernel(const T* a, const T* w, const T* bias, T* y, int64_t n_count, int64_t k_count, float alpha, float beta) {
  constexpr int kWidth = kRowWidth<T>;
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int64_t n = static_cast<int64_t>(blockIdx.x) * kWarps + threadIdx.x / kWarp;
  if (n >= n_count) return;
  const T* weights = w + n * k_count;
  float sums[rows] = {};
  for (int64_t first = static_cast<int64_t>(lane) * kWidth; first < k_count; first += static_cast<int64_t>(kPacks) * kWarp * kWidth) {
    Words<T> packs[kPacks];
#pragma unroll
    for (int p = 0; p < kPacks; ++p) {
      const int64_t at = first + static_cast<int64_t>(p) * kWarp * kWidth;
      if (at < k_count) packs[p].load(weights + at, true, kWidth);
    }
#pragma unroll
    for (int p = 0; p < kPacks; ++p) {
      const int64_t at = first + static_cast<int64_t>(p) * kWarp * kWidth;
      if (at >= k_count) continue;
#pragma unroll
      for (int r = 0; r < rows; ++r) {
        Words<T> x;
        x.load(a + r * k_count + at, true, kWidth);
#pragma unroll
        for (int i = 0; i < kWidth; ++i) sums[r] += x.number(i) * packs[p].number(i);
      }
    }
  }
#pragma unroll
  for (int r = 0; r < rows; ++r) {
    const float sum = alpha * over_warp(SumOf(), sums[r]);
    if (lane == 0) y[r * n_count + n] = from_float<T>(bias == nullptr ? sum : sum + beta * to_float(bias[n]));
  }
}

template <class T>
auto kernel_for(int64_t rows) {
  return rows == 1 ? row_product_kernel<T, 1> : rows == 2 ? row_product_kernel<T, 2> : rows == 3 ? row_product_kernel<T, 3> : row_product_kernel<T, 4>;
}

}  // namespace

bool row_product_supports(DType type, const void* a, const void* w, int64_t rows, int64_t k) {
  return FloatTypes::has(type) && rows >= 1 && rows <= kMostProductRows && k > 0 && k * size_of(type) % 16 == 0 && is_aligned(a, 16) && is_aligned(w, 16);
}

Status row_product(DType type, const void* a, const void* w, const void* bias, void* y, int64_t rows, int64_t n, int64_t k, float alpha, float beta,
                   cudaStream_t stream) {
  HALO_REQUIRE(row_product_supports(type, a, w, rows, k), "1 to " << kMostProductRows << " rows of whole 16 bytes", rows << " rows of " << k,
               "Use LtProducts.");
  return dispatch_float(type, [&]<class T>() -> Status {
    return launch(kernel_for<T>(rows), grid_for(n, kWarps), kThreads, 0, stream, static_cast<const T*>(a), static_cast<const T*>(w),
                  static_cast<const T*>(bias), static_cast<T*>(y), n, k, alpha, beta);
  });
}

}  // namespace halo::cuda
