// Vectors along rows of K inner elements of 16 bits, K up to 48, inner from 16 on: 14336 = 28 512, 5120 = 20 256, 1536 = 12 128, 704 = 44 16.
#include <algorithm>

#include "ops/hadamard_transform/hadamard_kernels.h"
#include "ops/hadamard_transform/hadamard_sign_bits.h"
#include "ops/hadamard_transform/hadamard_units.cuh"

namespace halo {

namespace {

using namespace hadamard_units;

/// The largest K: signs of four steps of the matrix units, of which it takes three, are a register of a lane.
constexpr int kMostInnerOrder = 48;

constexpr int kPack = 8;

/// Columns for which a warp has 16 rows of sums, by pairs of tiles of eight, 8 sums a lane each; warps of a block at most, so that two have 255 registers a
/// thread, or 128 where warps have half of the sums.
template <int pairs>
struct OrdersShape {
  static constexpr int kColumns = 16 * pairs, kMostWarps = 64 / pairs, kBlocks = 2;
};

/// What is the same for all blocks. `steps` of 16 cover K. Where a vector has fewer columns than a warp, several lie side by side; where it has more, they are
/// `chunks` of as many as a warp has.
struct OrdersLayout {
  int order, inner_log2, steps, vectors, chunks;
};

/// Signs of 16 operands of the matrix units: number i has its signs at bits 15 - i and 31 - i, so that a shift by a constant puts them where those of a pair of
/// 16-bit numbers are.
struct PackedSigns {
  uint32_t word = 0;

  __device__ void set(int i, uint32_t two_bits) { word |= (two_bits & 1u) << (15 - i) | (two_bits & 2u) << (30 - i); }

  /// `ones`: a pair of +1 or of -1.
  __device__ uint32_t of(int i, uint32_t ones) const { return ((word << i) & 0x80008000u) ^ ones; }
};

/// A block walks over vectors, as (K, columns) in shared memory, and a warp has 16 rows of A_K, whose signs stay in registers, and 16 columns for each pair.
/// A_K first, on the matrix units and exactly, over all chunks of columns at once with the signs of S between them: a warp has one chunk of the result. Then S
/// by additions between a lane's pairs of tiles, and S_16 within them by the matrix units again, whose left operand sums are as they lie. The next vectors are
/// on their way meanwhile. Reads and writes each element once; bound by memory, where eight warps a multiprocessor keep it busy, or sixteen. grid: (blocks that
/// walk, blocks of H); threads: a warp for each 16 rows of A_K and chunk.
template <int pairs, bool has_max, class T>
__global__ void __launch_bounds__(OrdersShape<pairs>::kMostWarps* cuda::kWarp, OrdersShape<pairs>::kBlocks)
    hadamard_orders_kernel(const T* x, T* y, [[maybe_unused]] float* absmax, int64_t rows, int64_t columns, SignBits bits, OrdersLayout layout, float scale) {
  constexpr int kColumns = OrdersShape<pairs>::kColumns;
  const int thread = static_cast<int>(threadIdx.x), threads = static_cast<int>(blockDim.x), lane = thread % cuda::kWarp, quad_lane = lane % 4;
  const int order = layout.order, inner_log2 = layout.inner_log2, pitch = layout.chunks * kColumns, buffer_elements = 16 * layout.steps * pitch;
  const int first_row = thread / cuda::kWarp % layout.steps * 16 + lane / 4, own_chunk = thread / cuda::kWarp / layout.steps;
  const int64_t block_at = static_cast<int64_t>(blockIdx.y) * (order << inner_log2);
  x += block_at;
  y += block_at;
  auto* buffers = cuda::dynamic_shared<T>();
  PackedSigns signs;
#pragma unroll
  for (int i = 0; i < 16; ++i) {
    const int s = i / 4, n = i % 4, row = first_row + n % 2 * 8;
    if (row < order && s < layout.steps) signs.set(i, static_cast<uint32_t>(bits.bits[row][s]) >> (2 * quad_lane + n / 2 * 8));
  }
  // Packs of a row lie in an order of its own, so that eight rows of one place meet different banks.
  const auto load = [&](int64_t first, T* to) {
    for (int v = 0; v < layout.vectors && first + v < rows; ++v) {
      const T* from = x + (first + v) * columns;
      for (int i = thread; i < order << (inner_log2 - 3); i += threads) {
        const int a = i >> (inner_log2 - 3), pack = (v << (inner_log2 - 3)) + (i & ((1 << (inner_log2 - 3)) - 1));
        cuda::copy_async(to + a * pitch + (pack ^ (a % 8)) * kPack, from + i * kPack, true);
      }
    }
    cuda::commit_copies();
  };
  const int beyond = buffer_elements - order * pitch;  // what the last step has beyond K
  for (int i = thread; i < 2 * beyond; i += threads) buffers[i / beyond * buffer_elements + order * pitch + i % beyond] = T{0};
  uint32_t inner_signs[4];
  fill_signs<BFloat16>(inner_signs);
  cuda::LargestOfWords<T, has_max> largest;
  const int64_t stride = static_cast<int64_t>(gridDim.x) * layout.vectors;
  int64_t first = static_cast<int64_t>(blockIdx.x) * layout.vectors;
  load(first, buffers);
  for (int current = 0; first < rows; first += stride, current ^= 1) {
    __syncthreads();  // the buffer that is filled was read by all
    load(first + stride, buffers + (current ^ 1) * buffer_elements);
    cuda::wait_for_copies<1>();
    __syncthreads();
    float sums[pairs][2][4] = {};
#pragma unroll 1
    for (int chunk = 0; chunk < layout.chunks; ++chunk) {
      const uint32_t ones = signed_ones<T>((__popc(static_cast<uint32_t>(chunk & own_chunk)) & 1) != 0 ? 3u : 0u);
      const T* row = buffers + current * buffer_elements + lane % 16 * pitch + chunk * kColumns;
#pragma unroll
      for (int s = 0; s < 4; ++s) {
        if (s >= layout.steps) break;
        const uint32_t a[4] = {signs.of(4 * s, ones), signs.of(4 * s + 1, ones), signs.of(4 * s + 2, ones), signs.of(4 * s + 3, ones)};
#pragma unroll
        for (int pair = 0; pair < pairs; ++pair) {
          uint32_t b[4];
          cuda::load_matrices<true>(row + ((2 * (pair % 4) + lane / 16) ^ (lane % 8)) * kPack + pair / 4 * 64, b);
          cuda::multiply_add<T>(sums[pair][0], a, b[0], b[1]);
          cuda::multiply_add<T>(sums[pair][1], a, b[2], b[3]);
        }
        row += 16 * pitch;
      }
    }
    // S between the pairs: as many bits of a column as a vector has beyond the 16 of a pair.
#pragma unroll
    for (int level = 0; (1 << level) < pairs; ++level) {
      if (level < inner_log2 - 4) across_tiles(sums, 1 << level);
    }
    const int64_t vector_step = cuda::opaque(columns);
    const int inner = cuda::opaque(1 << inner_log2);
    int64_t left = rows - first;  // vectors from this pair's on
    T* to = y + first * vector_step + (first_row << inner_log2) + own_chunk * kColumns + quad_lane % 2 * 8 + quad_lane / 2 * 4;
#pragma unroll
    for (int pair = 0; pair < pairs; ++pair) {
      column_factor<kParts<T>>(sums[pair], inner_signs);
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        uint32_t words[2];
#pragma unroll
        for (int i = 0; i < 2; ++i) words[i] = cuda::packed_pair<T>(sums[pair][i][2 * half] * scale, sums[pair][i][2 * half + 1] * scale);
        const auto pack = words_of_neighbours(words[0], words[1]);
        if (first_row + 8 * half >= order || left <= 0) continue;
        for (const uint32_t word : pack.values) largest.take(word);
        *reinterpret_cast<cuda::Pack<uint32_t, 2>*>(to + half * 8 * inner) = pack;
      }
      to += 16;
      if (pair + 1 < pairs && (16 * (pair + 1) & (inner - 1)) == 0) {
        to += vector_step - inner;
        --left;
      }
    }
  }
  if constexpr (has_max) {
    __shared__ uint32_t scratch[cuda::kWarp];
    cuda::raise_absolute_max(largest.magnitude(), absmax, scratch);
  }
}

/// How a size is laid out, and what a block of it takes: two buffers of vectors, zeros up to whole steps.
struct OrdersPlan {
  OrdersLayout layout;
  int pairs, warps, most_warps;
  int64_t bytes;
};

template <int pairs>
OrdersPlan plan_of(const HadamardOrder& found) {
  using Shape = OrdersShape<pairs>;
  const int order = static_cast<int>(found.order), inner = 1 << found.log2, steps = (order + 15) / 16, chunks = std::max(1, inner / Shape::kColumns);
  return {.layout = {.order = order, .inner_log2 = found.log2, .steps = steps, .vectors = std::max(1, Shape::kColumns / inner), .chunks = chunks},
          .pairs = pairs,
          .warps = steps * chunks,
          .most_warps = Shape::kMostWarps,
          .bytes = int64_t{2} * 16 * steps * chunks * Shape::kColumns * 2};
}

/// Sixteen warps a multiprocessor with half of the sums where eight would be six, three to a block, or a third of what they compute is beyond K. [measured]
OrdersPlan plan_for(const HadamardOrder& found) {
  const OrdersPlan plan = plan_of<16>(found);
  const bool is_wasteful = plan.warps == 3 || 3 * found.order < 2 * 16 * int64_t{plan.layout.steps};
  return is_wasteful ? plan_of<8>(found) : plan;
}

}  // namespace

bool hadamard_orders_supports(DType type, const void* x, const void* y, int64_t columns, int64_t size) {
  const HadamardOrder found = hadamard_order(size);
  if (size_of(type) != 2 || found.order <= 1 || found.order > kMostInnerOrder || found.log2 < 4) return false;
  const OrdersPlan plan = plan_for(found);
  return plan.warps <= plan.most_warps && plan.bytes <= cuda::most_shared_bytes() && columns % kPack == 0 && cuda::is_aligned(x, 16) && cuda::is_aligned(y, 16);
}

Status hadamard_orders_cuda(DType type, const void* x, void* y, float* absmax, int64_t rows, int64_t columns, int64_t size, int64_t blocks, bool inverse,
                            float scale, cudaStream_t stream) {
  const OrdersPlan plan = plan_for(hadamard_order(size));
  const auto run = [&]<class T>() -> Status {
    const auto start = [&]<int pairs>() -> Status {
      const auto kernel = absmax == nullptr ? hadamard_orders_kernel<pairs, false, T> : hadamard_orders_kernel<pairs, true, T>;
      HALO_CUDA_RETURN_IF_ERROR(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(plan.bytes)));
      // As many blocks as run at a time, by registers and by shared memory, of which each takes 1 KB more. [CUDA, compute capability 9.0]
      const int64_t by_warps = OrdersShape<pairs>::kBlocks * plan.most_warps / plan.warps, by_memory = (int64_t{228} << 10) / (plan.bytes + 1024);
      const int64_t walkers =
          std::min(cuda::ceil_div(rows, plan.layout.vectors), std::max<int64_t>(1, std::min(by_warps, by_memory)) * cuda::multiprocessors());
      return cuda::launch(kernel, dim3(static_cast<unsigned>(walkers), static_cast<unsigned>(blocks)), static_cast<unsigned>(plan.warps * cuda::kWarp),
                          static_cast<size_t>(plan.bytes), stream, static_cast<const T*>(x), static_cast<T*>(y), absmax, rows, columns,
                          sign_bits(plan.layout.order, inverse), plan.layout, scale);
    };
    return plan.pairs == 16 ? start.template operator()<16>() : start.template operator()<8>();
  };
  HALO_REQUIRE(size_of(type) == 2, "bfloat16 or float16", type, "Cast the tensor.");
  return type == DType::kBFloat16 ? run.template operator()<BFloat16>() : run.template operator()<Float16>();
}

}  // namespace halo
