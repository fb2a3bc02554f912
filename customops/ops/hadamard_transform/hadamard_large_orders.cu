// Vectors along rows of K 64 elements of 16 bits, K from 49 to 172: 11008 = 172 64, 8960 = 140 64.
#include <algorithm>

#include "ops/hadamard_transform/hadamard_kernels.h"
#include "ops/hadamard_transform/hadamard_sign_bits.h"
#include "ops/hadamard_transform/hadamard_units.cuh"

namespace halo {

namespace {

using namespace hadamard_units;

/// Warps of a block, which have a vector, and elements behind each row of A_K.
constexpr int kWarps = 4, kThreads = kWarps * cuda::kWarp, kInner = 64, kInnerLog2 = 6;

/// Rows of a vector up to whole steps of 16. Kernels are made for 4, 9 and 11 steps.
constexpr int kPaddedOrder = 16 * kMostSteps;

/// Rows of 16 of A_K that a warp has: rows warp, warp + 4 and so on.
template <int steps>
constexpr int kWarpRows = (steps + kWarps - 1) / kWarps;

/// Tiles of eight columns, and packs of eight elements that a row of 64 has.
constexpr int kTiles = kInner / 8;

/// A vector and zeros up to whole steps.
constexpr int kVectorBytes = kPaddedOrder * kInner * 2;

/// Signs of `count` operands of the matrix units, 16 to a register: number i has its signs at bits 15 - i % 16 and 31 - i % 16, so that a shift by a constant
/// puts them where those of a pair of 16-bit numbers are.
template <int count>
struct PackedSigns {
  uint32_t words[(count + 15) / 16] = {};

  __device__ void set(int i, uint32_t two_bits) { words[i / 16] |= (two_bits & 1u) << (15 - i % 16) | (two_bits & 2u) << (30 - i % 16); }

  template <class T>
  __device__ uint32_t ones(int i) const {
    return ((words[i / 16] << (i % 16)) & 0x80008000u) ^ signed_ones<T>(0);
  }
};

/// Adds and subtracts across lanes `mask` apart: of two numbers each lane gives one away, and has then the sum and the difference of two of the same place,
/// whose places its lane bit tells.
__device__ void across_lanes(float& low, float& high, int mask, bool is_upper) {
  const float mine = is_upper ? high : low, given = is_upper ? low : high;
  const float theirs = __shfl_xor_sync(cuda::kAllLanes, given, mask);
  const float difference = mine - theirs;
  low = mine + theirs;
  high = is_upper ? -difference : difference;
}

/// Blocks of a multiprocessor: for more of them registers do not suffice.
constexpr int kBlocks = 2;

/// A block walks over vectors, each as (K, 64) in shared memory, a warp up to three times 16 rows of A_K, K at most 16 `steps`, whose signs stay in registers.
/// A_K first, on the matrix units and exactly; then S_64 by additions: between a lane's numbers, and between the lanes of a quad, which exchange half of what
/// they have and end with 16 neighbours each. The next vector is on its way meanwhile. Reads and writes each element once; bound by the matrix units: 2 K
/// operations an element. grid: (blocks that walk, blocks of H).
template <int steps, bool has_max, class T>
__global__ void __launch_bounds__(kThreads, kBlocks)
    hadamard_large_orders_kernel(const T* x, T* y, [[maybe_unused]] float* absmax, int64_t rows, int64_t columns, SignBits bits, int order, float scale) {
  constexpr int kRows = kWarpRows<steps>;
  const int thread = static_cast<int>(threadIdx.x), lane = thread % cuda::kWarp, group = lane / 4, quad_lane = lane % 4;
  const int warp = thread / cuda::kWarp;
  x += static_cast<int64_t>(blockIdx.y) * order * kInner;
  y += static_cast<int64_t>(blockIdx.y) * order * kInner;
  auto* buffers = cuda::dynamic_shared<T>();
  PackedSigns<kRows * steps * 4> signs;
#pragma unroll
  for (int i = 0; i < kRows * steps * 4; ++i) {
    const int s = i / 4 % steps, n = i % 4, row = 16 * (warp + kWarps * (i / (4 * steps))) + group + n % 2 * 8;
    if (row < order) signs.set(i, static_cast<uint32_t>(bits.bits[row][s]) >> (2 * quad_lane + n / 2 * 8));
  }
  // Packs of eight, those of a row in an order of its own, so that eight rows of one place meet different banks.
  const auto load = [&](int64_t row, T* to) {
    if (row < rows) {
      for (int i = thread; i < order * kTiles; i += kThreads) {
        const int a = i / kTiles, pack = i % kTiles;
        cuda::copy_async(to + a * kInner + (pack ^ (a % 8)) * 8, x + row * columns + a * kInner + pack * 8, true);
      }
    }
    cuda::commit_copies();
  };
  const int beyond = (16 * steps - order) * kInner;  // what the last steps have beyond K
  for (int i = thread; i < 2 * beyond; i += kThreads) buffers[i / beyond * (kPaddedOrder * kInner) + order * kInner + i % beyond] = T{0};
  load(blockIdx.x, buffers);
  int current = 0;
  cuda::LargestOfWords<T, has_max> largest;
  for (int64_t row = blockIdx.x; row < rows; row += gridDim.x, current ^= 1) {
    __syncthreads();  // the buffer that is filled was read by all
    load(row + gridDim.x, buffers + (current ^ 1) * (kPaddedOrder * kInner));
    cuda::wait_for_copies<1>();
    __syncthreads();
    const T* vector = buffers + current * (kPaddedOrder * kInner);
    float sums[kRows][kTiles][4] = {};
#pragma unroll
    for (int s = 0; s < steps; ++s) {
      uint32_t b[kTiles / 2][4];
#pragma unroll
      for (int pair = 0; pair < kTiles / 2; ++pair) {
        cuda::load_matrices<true>(vector + (16 * s + lane % 16) * kInner + ((2 * pair + lane / 16) ^ (lane % 8)) * 8, b[pair]);
      }
#pragma unroll
      for (int m = 0; m < kRows; ++m) {
        const int at = (m * steps + s) * 4;
        const uint32_t a[4] = {signs.template ones<T>(at), signs.template ones<T>(at + 1), signs.template ones<T>(at + 2), signs.template ones<T>(at + 3)};
#pragma unroll
        for (int t = 0; t < kTiles; ++t) cuda::multiply_add<T>(sums[m][t], a, b[t / 2][t % 2 * 2], b[t / 2][t % 2 * 2 + 1]);
      }
    }
#pragma unroll
    for (int m = 0; m < kRows; ++m) {
      if (16 * (warp + kWarps * m) >= order) continue;
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        // Column 8 t + 2 quad_lane + p of row 16 (warp + 4 m) + 8 half + group.
        float values[kTiles][2];
#pragma unroll
        for (int t = 0; t < kTiles; ++t) {
          const float a = sums[m][t][2 * half], b = sums[m][t][2 * half + 1];
          values[t][0] = a + b;
          values[t][1] = a - b;
        }
#pragma unroll
        for (int distance = 1; distance < kTiles; distance *= 2) {
#pragma unroll
          for (int t = 0; t < kTiles; ++t) {
            if ((t & distance) != 0) continue;
#pragma unroll
            for (int p = 0; p < 2; ++p) {
              const float a = values[t][p], b = values[t + distance][p];
              values[t][p] = a + b;
              values[t + distance][p] = a - b;
            }
          }
        }
#pragma unroll
        for (int mask = 1; mask < 4; mask *= 2) {
#pragma unroll
          for (int t = 0; t < kTiles; ++t) {
            if ((t & (2 * mask)) != 0) continue;
#pragma unroll
            for (int p = 0; p < 2; ++p) across_lanes(values[t][p], values[t + 2 * mask][p], mask, (quad_lane & mask) != 0);
          }
        }
        // Bits 1 and 2 of t are those of the column now, and the lane's the column's 16 and 32.
        const int a = 16 * (warp + kWarps * m) + 8 * half + group;
        if (a >= order) continue;
#pragma unroll
        for (int upper = 0; upper < 2; ++upper) {
          float eight[kLaneElements];
#pragma unroll
          for (int i = 0; i < kLaneElements; ++i) eight[i] = values[i / 2 * 2 + upper][i % 2];
          store_eight(y + row * columns + a * kInner + quad_lane * 16 + upper * 8, eight, scale, largest);
        }
      }
    }
  }
  if constexpr (has_max) {
    __shared__ uint32_t scratch[cuda::kWarp];
    cuda::raise_absolute_max(largest.magnitude(), absmax, scratch);
  }
}

}  // namespace

bool hadamard_large_orders_supports(DType type, const void* x, const void* y, int64_t columns, int64_t size) {
  const HadamardOrder found = hadamard_order(size);
  return size_of(type) == 2 && found.order > 48 && found.order <= kMostOrder && found.log2 == kInnerLog2 && columns % kLaneElements == 0 &&
         cuda::is_aligned(x, 16) && cuda::is_aligned(y, 16);
}

Status hadamard_large_orders_cuda(DType type, const void* x, void* y, float* absmax, int64_t rows, int64_t columns, int64_t size, int64_t blocks, bool inverse,
                                  float scale, cudaStream_t stream) {
  const auto order = static_cast<int>(hadamard_order(size).order);
  const auto run = [&]<class T>() -> Status {
    const auto start = [&]<int steps>() -> Status {
      constexpr int kBytes = 2 * kVectorBytes;
      const auto kernel = absmax == nullptr ? hadamard_large_orders_kernel<steps, false, T> : hadamard_large_orders_kernel<steps, true, T>;
      HALO_CUDA_RETURN_IF_ERROR(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, kBytes));
      const dim3 grid(static_cast<unsigned>(std::min<int64_t>(rows, int64_t{kBlocks} * cuda::multiprocessors())), static_cast<unsigned>(blocks));
      return cuda::launch(kernel, grid, kThreads, kBytes, stream, static_cast<const T*>(x), static_cast<T*>(y), absmax, rows, columns,
                          sign_bits(order, inverse), order, scale);
    };
    if (order <= 64) return start.template operator()<4>();
    return order <= 144 ? start.template operator()<9>() : start.template operator()<kMostSteps>();
  };
  HALO_REQUIRE(size_of(type) == 2, "bfloat16 or float16", type, "Cast the tensor.");
  return type == DType::kBFloat16 ? run.template operator()<BFloat16>() : run.template operator()<Float16>();
}

}  // namespace halo
