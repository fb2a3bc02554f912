// Vectors in shared memory, and their products with the factors of a Hadamard matrix: S by levels, A_K by signed sums.
#pragma once

#include "provider/kernels/device.cuh"

namespace halo::hadamard_tile {

/// Levels of the Walsh-Hadamard transform that a thread does in registers: 16 elements.
constexpr int kLevels = 4;

/// Rows of A_K that a thread multiplies by at once: the bits of one byte.
constexpr int kSignRows = 8;

/// An element more in each 32: accesses 16 apart fall into different banks.
__host__ __device__ inline int64_t padded(int64_t i) { return i + (i >> 5); }

__device__ inline int padded(int i) { return i + (i >> 5); }

template <int levels>
__device__ void butterflies(float (&x)[1 << levels]) {
#pragma unroll
  for (int half = 1; half < (1 << levels); half *= 2) {
#pragma unroll
    for (int i = 0; i < (1 << levels); ++i) {
      if ((i & half) != 0) continue;
      const float a = x[i], b = x[i + half];
      x[i] = a + b;
      x[i + half] = a - b;
    }
  }
}

/// `levels` levels at distance `step` = 2^step_log2 and on. A thread reads and writes 2^levels elements a time. Their distances are the same for all groups:
/// a base is a multiple of 2^(levels + step_log2) and less than a step, so that padding adds to both apart.
template <int levels>
__device__ void transform_levels(float* tile, int elements, int step_log2) {
  const int step = 1 << step_log2;
  int offsets[1 << levels];
#pragma unroll
  for (int i = 0; i < (1 << levels); ++i) offsets[i] = padded(i << step_log2);
  for (int group = static_cast<int>(threadIdx.x); group < elements >> levels; group += static_cast<int>(blockDim.x)) {
    float* base = tile + padded(((group >> step_log2) << (step_log2 + levels)) + (group & (step - 1)));
    float x[1 << levels];
#pragma unroll
    for (int i = 0; i < (1 << levels); ++i) x[i] = base[offsets[i]];
    butterflies<levels>(x);
#pragma unroll
    for (int i = 0; i < (1 << levels); ++i) base[offsets[i]] = x[i];
  }
  __syncthreads();
}

/// Rows of A_K mix elements `inner` apart: sums[p][n] = row group * 8 + n at `positions` places of the tile, which share the signs that are read.
template <int positions, bool are_numbers>
__device__ void multiply_signs(const float* tile, const void* signs, const int (&first)[positions], int inner, int order, int group,
                               float (&sums)[positions][kSignRows]) {
#pragma unroll
  for (int p = 0; p < positions; ++p) {
#pragma unroll
    for (int n = 0; n < kSignRows; ++n) sums[p][n] = 0.0f;
  }
#pragma unroll 2
  for (int j = 0; j < order; ++j) {
    float values[positions];
#pragma unroll
    for (int p = 0; p < positions; ++p) values[p] = tile[padded(first[p] + j * inner)];
    if constexpr (are_numbers) {
      const auto* own = static_cast<const cuda::Pack<float, 4>*>(signs) + (group * order + j) * (kSignRows / 4);
      const cuda::Pack<float, 4> low = own[0], high = own[1];
#pragma unroll
      for (int p = 0; p < positions; ++p) {
#pragma unroll
        for (int n = 0; n < 4; ++n) {
          sums[p][n] += values[p] * low.values[n];
          sums[p][n + 4] += values[p] * high.values[n];
        }
      }
    } else {
      const uint32_t own = static_cast<const uint8_t*>(signs)[group * order + j];
#pragma unroll
      for (int n = 0; n < kSignRows; ++n) {
        const uint32_t minus = (own << (31 - n)) & 0x80000000u;
#pragma unroll
        for (int p = 0; p < positions; ++p) sums[p][n] += std::bit_cast<float>(std::bit_cast<uint32_t>(values[p]) ^ minus);
      }
    }
  }
}

}  // namespace halo::hadamard_tile
