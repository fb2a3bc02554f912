#include "provider/kernels/row_product.h"

#include "provider/kernels/few_rows.cuh"
#include "provider/kernels/words.cuh"

namespace halo::cuda {

namespace {

constexpr int kThreads = 256, kWarps = kThreads / kWarp;

/// Neighbouring columns that a warp sums together, so that each load of A serves them all, and packs of 16 bytes of each that a lane has in flight: 4 KiB of
/// weights a warp.
constexpr int kColumns = 2, kPacks = 4;

/// Elements of a column that a warp takes at a time, its part of K.
template <class T>
constexpr int kPart = kPacks* kWarp* kRowWidth<T>;

/// Reads W once, at the rate of memory; A comes from the caches, where all warps of a multiprocessor want the same. Weights come to the L2 cache while the
/// kernel in front still makes A.
template <class T, int rows>
__global__ void __launch_bounds__(kThreads, 3)
    row_product_kernel(const T* a, const T* w, const T* bias, T* y, int64_t n_count, int64_t k_count, float alpha, float beta, int group_warps) {
  constexpr int kWidth = kRowWidth<T>;
  __shared__ float scratch[kWarps * kColumns * rows];
  const int lane = static_cast<int>(threadIdx.x) % kWarp, warp = static_cast<int>(threadIdx.x) / kWarp, groups = kWarps / group_warps;
  const int64_t first_group = static_cast<int64_t>(blockIdx.x) * groups, n = (first_group + warp / group_warps) * kColumns;
  const int64_t end = n < n_count ? k_count : 0, part = static_cast<int64_t>(warp % group_warps) * kPart<T>;
  let_next_start();
  if (lane < kColumns && n + lane < n_count && part < k_count) {
    prefetch(w + (n + lane) * k_count + part, (k_count - part < kPart<T> ? k_count - part : kPart<T>)*static_cast<int64_t>(sizeof(T)));
  }
  wait_for_inputs();
  float sums[kColumns][rows] = {};
  for (int64_t first = part + lane * kWidth; first < end; first += static_cast<int64_t>(group_warps) * kPart<T>) {
    Words<T> packs[kColumns][kPacks];
#pragma unroll
    for (int c = 0; c < kColumns; ++c) {
      const T* weights = w + (n + c < n_count ? n + c : n) * k_count;  // a column too many has the sums of another, which no one stores
#pragma unroll
      for (int p = 0; p < kPacks; ++p) {
        const int64_t at = first + p * kWarp * kWidth;
        if (at < k_count) packs[c][p].load(weights + at, true, kWidth);
      }
    }
#pragma unroll
    for (int p = 0; p < kPacks; ++p) {
      const int64_t at = first + p * kWarp * kWidth;
      if (at >= k_count) continue;
#pragma unroll
      for (int r = 0; r < rows; ++r) {
        Words<T> x;
        x.load(a + r * k_count + at, true, kWidth);
#pragma unroll
        for (int c = 0; c < kColumns; ++c) {
#pragma unroll
          for (int i = 0; i < kWidth; ++i) sums[c][r] += x.number(i) * packs[c][p].number(i);
        }
      }
    }
  }
  sum_of_groups(sums, scratch, group_warps, [&](int group, int c, int r, auto sum_of) {
    const int64_t column = (first_group + group) * kColumns + c;
    if (column >= n_count) return;
    const float sum = sum_of(c);
    y[r * n_count + column] = from_float<T>(bias == nullptr ? alpha * sum : alpha * sum + beta * to_float(bias[column]));
  });
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
    const int group_warps = warps_of_group(ceil_div(k, kPart<T>), kWarps);
    return launch_dependent(kernel_for<T>(rows), grid_for(n, kColumns * (kWarps / group_warps)), kThreads, 0, stream, static_cast<const T*>(a),
                            static_cast<const T*>(w), static_cast<const T*>(bias), static_cast<T*>(y), n, k, alpha, beta, group_warps);
  });
}

}  // namespace halo::cuda
