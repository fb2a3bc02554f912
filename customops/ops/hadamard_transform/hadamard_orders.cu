// Vectors along rows of K 512 elements of 16 bits, K at most 32: 14336 = 28 512.
#include <algorithm>

#include "common/hadamard_matrix.h"
#include "ops/hadamard_transform/hadamard_kernels.h"
#include "ops/hadamard_transform/hadamard_units.cuh"

namespace halo {

namespace {

using namespace hadamard_units;

constexpr int kThreads = 256, kWarps = kThreads / cuda::kWarp;

/// Elements behind each row of A_K, and those of a warp: eight packs side by side.
constexpr int kInner = 512, kInnerLog2 = 9, kWarpElements = kInner / kWarps, kPack = 8;

/// The largest K: two steps of 16 of the matrix units.
constexpr int kMostOrder = 32, kSteps = 2;

/// Floats between rows of the tile. Packs of four are numbered along a row, and number u lies in place u ^ (u / 8 % 2): with a pitch of 130 packs neither
/// phase meets a bank twice.
constexpr int kPitch = kInner + 8;

__device__ inline int place(int pack) { return (pack ^ (pack / 8 % 2)) * 4; }

/// The levels of S within a pack, between the packs of a lane, or between lanes.
template <int count>
__device__ void butterfly(float (&x)[count], int step) {
#pragma unroll
  for (int i = 0; i < count; ++i) {
    if ((i & step) != 0) continue;
    const float a = x[i], b = x[i + step];
    x[i] = a + b;
    x[i + step] = a - b;
  }
}

/// A block walks over vectors. First a warp multiplies 64 columns of the (K, 512) that a vector is by A_K, on the matrix units and exactly, two rows a word by
/// a permutation of bytes, and does S along three bits: neighbouring sums, lanes of a quad. Then a thread has eight packs, 64 apart, and does the other six.
/// Numbers of the next vector are on their way meanwhile. Reads and writes each element once; bound by memory. grid: (blocks that walk, blocks of H).
template <bool has_max, class T>
__global__ void __launch_bounds__(kThreads, 2)
    hadamard_orders_kernel(const T* x, T* y, [[maybe_unused]] float* absmax, int64_t rows, int64_t columns, SignRule rule, bool inverse, float scale) {
  auto* tile = cuda::dynamic_shared<float>();
  const int thread = static_cast<int>(threadIdx.x), lane = thread % cuda::kWarp, warp = thread / cuda::kWarp, group = lane / 4, quad_lane = lane % 4;
  const int order = rule.size();
  x += static_cast<int64_t>(blockIdx.y) * order * kInner + warp * kWarpElements + group * kPack;
  y += static_cast<int64_t>(blockIdx.y) * order * kInner;
  uint32_t signs[2][kSteps][4];  // of rows 16 i + group (+ 8), columns 16 s + 2 quad_lane (+ 8)
#pragma unroll
  for (int i = 0; i < 2; ++i) {
#pragma unroll
    for (int s = 0; s < kSteps; ++s) {
#pragma unroll
      for (int n = 0; n < 4; ++n) {
        const int row = 16 * i + group + n % 2 * 8, column = 16 * s + 2 * quad_lane + n / 2 * 8;
        uint32_t bits = 0;
        for (int k = 0; k < 2; ++k) {
          const bool is_there = row < order && column + k < order;
          bits |= static_cast<uint32_t>(is_there && (inverse ? rule.is_minus(row, column + k) : rule.is_minus(column + k, row))) << k;
        }
        signs[i][s][n] = signed_ones<T>(bits);
      }
    }
  }
  using Words = cuda::Pack<uint32_t, 4>;
  Words words[kSteps][2][2];  // of row 16 s + 8 h + 2 quad_lane + p
  const auto load = [&](int64_t row) {
#pragma unroll
    for (int i = 0; i < kSteps * 4; ++i) {
      const int a = i / 4 * 16 + i / 2 % 2 * 8 + 2 * quad_lane + i % 2;
      Words& to = words[i / 4][i / 2 % 2][i % 2];
      to = {};
      if (row < rows && a < order) to = *reinterpret_cast<const Words*>(x + row * columns + a * kInner);
    }
  };
  cuda::LargestOfWords<T, has_max> largest;
  load(blockIdx.x);
  for (int64_t row = blockIdx.x; row < rows; row += gridDim.x) {
#pragma unroll
    for (int part = 0; part < 2; ++part) {
      float sums[4][2][4];  // of element 4 part + j
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        const uint32_t halves = j % 2 == 0 ? 0x5410 : 0x7632;
        const int word = 2 * part + j / 2;
#pragma unroll
        for (int i = 0; i < 2; ++i) {
#pragma unroll
          for (int n = 0; n < 4; ++n) sums[j][i][n] = 0.0f;
#pragma unroll
          for (int s = 0; s < kSteps; ++s) {
            cuda::multiply_add<T>(sums[j][i], signs[i][s], __byte_perm(words[s][0][0].values[word], words[s][0][1].values[word], halves),
                                  __byte_perm(words[s][1][0].values[word], words[s][1][1].values[word], halves));
          }
          butterfly(sums[j][i], 1);
#pragma unroll
          for (int mask = 1; mask < 4; mask *= 2) {
#pragma unroll
            for (int n = 0; n < 4; ++n) {
              const float mine = sums[j][i][n], other = __shfl_xor_sync(cuda::kAllLanes, mine, mask);
              sums[j][i][n] = (quad_lane & mask) != 0 ? other - mine : mine + other;
            }
          }
        }
      }
#pragma unroll
      for (int i = 0; i < 2; ++i) {
#pragma unroll
        for (int n = 0; n < 4; ++n) {
          const int a = 16 * i + group + n / 2 * 8;
          if (a >= order) continue;
          cuda::Pack<float, 4> pack;
#pragma unroll
          for (int j = 0; j < 4; ++j) pack.values[j] = sums[j][i][n];
          *reinterpret_cast<cuda::Pack<float, 4>*>(tile + a * kPitch + place(16 * warp + 2 * (2 * quad_lane + n % 2) + part)) = pack;
        }
      }
    }
    __syncthreads();
    load(row + gridDim.x);
    if (thread < 8 * order) {
      const int a = thread / 8, n = thread % 8;
      float values[kWarps][kPack];
#pragma unroll
      for (int v = 0; v < kWarps; ++v) {
#pragma unroll
        for (int part = 0; part < 2; ++part) {
          const auto pack = *reinterpret_cast<const cuda::Pack<float, 4>*>(tile + a * kPitch + place(16 * v + 2 * n + part));
#pragma unroll
          for (int j = 0; j < 4; ++j) values[v][4 * part + j] = pack.values[j];
        }
#pragma unroll
        for (int step = 1; step < kPack; step *= 2) butterfly(values[v], step);
      }
#pragma unroll
      for (int j = 0; j < kPack; ++j) {
        float across[kWarps];
#pragma unroll
        for (int v = 0; v < kWarps; ++v) across[v] = values[v][j];
#pragma unroll
        for (int step = 1; step < kWarps; step *= 2) butterfly(across, step);
#pragma unroll
        for (int v = 0; v < kWarps; ++v) values[v][j] = across[v];
      }
#pragma unroll
      for (int v = 0; v < kWarps; ++v) store_eight(y + row * columns + a * kInner + v * kWarpElements + n * kPack, values[v], scale, largest);
    }
    __syncthreads();
  }
  if constexpr (has_max) {
    __shared__ uint32_t scratch[cuda::kWarp];
    cuda::raise_absolute_max(largest.magnitude(), absmax, scratch);
  }
}

}  // namespace

bool hadamard_orders_supports(DType type, const void* x, const void* y, int64_t columns, int64_t size) {
  const HadamardOrder found = hadamard_order(size);
  return size_of(type) == 2 && found.order > 1 && found.order <= kMostOrder && found.log2 == kInnerLog2 && columns % kPack == 0 && cuda::is_aligned(x, 16) &&
         cuda::is_aligned(y, 16);
}

Status hadamard_orders_cuda(DType type, const void* x, void* y, float* absmax, int64_t rows, int64_t columns, int64_t size, int64_t blocks, bool inverse,
                            float scale, cudaStream_t stream) {
  const auto run = [&]<class T>() -> Status {
    const auto order = static_cast<int>(hadamard_order(size).order);
    const int bytes = order * kPitch * static_cast<int>(sizeof(float));
    const auto kernel = absmax == nullptr ? hadamard_orders_kernel<false, T> : hadamard_orders_kernel<true, T>;
    HALO_CUDA_RETURN_IF_ERROR(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes));
    const dim3 grid(static_cast<unsigned>(std::min<int64_t>(rows, 2 * static_cast<int64_t>(cuda::multiprocessors()))), static_cast<unsigned>(blocks));
    return cuda::launch(kernel, grid, kThreads, static_cast<size_t>(bytes), stream, static_cast<const T*>(x), static_cast<T*>(y), absmax, rows, columns,
                        hadamard_sign_rule(order), inverse, scale);
  };
  HALO_REQUIRE(size_of(type) == 2, "bfloat16 or float16", type, "Cast the tensor.");
  return type == DType::kBFloat16 ? run.template operator()<BFloat16>() : run.template operator()<Float16>();
}

}  // namespace halo
