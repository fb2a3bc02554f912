// How products of few rows are shared out: neighbouring columns of Y are a group, whose sums belong to a warp, or to several that each have a part of K, so
// that a product of few columns keeps as many loads in flight as one of many.
#pragma once

#include "provider/kernels/dependent_launch.cuh"

namespace halo::cuda {

/// Warps that share a group, a power of two: one for each part of K, up to a block's.
inline int warps_of_group(int64_t parts, int block_warps) {
  int warps = 1;
  while (warps < block_warps && warps < parts) warps *= 2;
  return warps;
}

/// Gives store(group of the block, column, row, sum_of) for each column and row of the block, sum_of(column) being the sums of that group and row: over the
/// lanes of a warp as a butterfly, then over the group's warps in their order. All threads call it. `scratch` has room for warps * columns * rows, and is read
/// until all threads have come to the next barrier.
template <int columns, int rows, class F>
__device__ void sum_of_groups(const float (&sums)[columns][rows], float* scratch, int group_warps, F store) {
  constexpr int kSums = columns * rows;
  const int thread = static_cast<int>(threadIdx.x), threads = static_cast<int>(blockDim.x), warp = thread / kWarp;
#pragma unroll
  for (int c = 0; c < columns; ++c) {
#pragma unroll
    for (int r = 0; r < rows; ++r) {
      const float sum = over_warp(SumOf(), sums[c][r]);
      if (thread % kWarp == 0) scratch[warp * kSums + c * rows + r] = sum;
    }
  }
  __syncthreads();
  for (int i = thread; i < threads / kWarp / group_warps * kSums; i += threads) {
    const int group = i / kSums, place = i % kSums, row = place % rows;
    store(group, place / rows, row, [&](int column) {
      float sum = 0;
      for (int w = 0; w < group_warps; ++w) sum += scratch[(group * group_warps + w) * kSums + column * rows + row];
      return sum;
    });
  }
}

}  // namespace halo::cuda
