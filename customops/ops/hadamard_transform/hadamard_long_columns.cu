// Vectors along columns, 8192 long or K 2^k up to 14336, of 16-bit numbers, and powers of two from 512 on where shared memory is too small for kernels of their
// own: whole vectors in shared memory, results straight from registers.
#include "ops/hadamard_transform/hadamard_column_tiles.cuh"
#include "ops/hadamard_transform/hadamard_kernels.h"
#include "ops/hadamard_transform/hadamard_sign_bits.h"

namespace halo {

namespace {

using namespace hadamard_columns;

/// Loads of two operands that a warp makes a step: as many as 128 sums a lane take.
constexpr int kLoads = 16;

constexpr int kThreads = 256;

/// H_n = H_outer (x) S_inner: row r of a vector is (r / inner, r % inner). H_outer = A_K (x) S_2^log2, `steps` times 16 rows with zeros behind the last.
struct ColumnsLayout {
  int order, outer_log2, steps;

  HALO_HD int outer() const { return order << outer_log2; }

  /// Of 16 signs, of a row of A_K.
  HALO_HD int row_words() const { return (order + 15) / 16; }
};

/// Tiles have `tile_packs` packs of columns, a warp `kGroupPacks` of them at a time.
template <int inner_rows, int tile_packs>
struct LongShape {
  static constexpr int kInner = inner_rows, kPacks = tile_packs, kGroupPacks = 2 * kLoads / kInner;
  /// Packs from one load of a lane to the next, and after how many of them the order of packs repeats.
  static constexpr int kLoadPacks = kGroupPacks == 2 ? kPacks : 2 * kPacks, kVariants = kLoadPacks >= 8 ? 1 : 8 / kLoadPacks;

  /// Of a tile, and of the signs of A_K behind it.
  static int64_t bytes(const ColumnsLayout& layout) {
    return int64_t{16} * layout.steps * kInner * kPacks * kPackElements * 2 + (layout.order == 1 ? 0 : layout.order * layout.row_words() * 2);
  }
};

/// Where pack `pack` of the tile lies, which belongs to row `outer` of H_outer: eight successive rows of H_outer meet different banks.
__device__ inline int place(int pack, int outer) { return pack ^ (outer % 8); }

/// The left operands of 16 rows of A_K (x) S_2^log2 from 16 part on, by the signs of A_K in shared memory. What of them does not change from step to step is
/// made once.
template <class T>
class OrderSigns {
 public:
  __device__ OrderSigns(const uint16_t* signs, const ColumnsLayout& layout, int part) : log2_(layout.outer_log2), part_(part) {
    const int lane = static_cast<int>(threadIdx.x) % cuda::kWarp;
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      const int row = 16 * part + lane / 4 + r * 8, order_row = row >> log2_;
      rows_[r] = signs + (order_row < layout.order ? order_row : layout.order - 1) * layout.row_words();
      power_[r] = 0;
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int column = lane % 4 * 2 + i / 2 * 8 + i % 2;
        columns_[i] = static_cast<uint32_t>(column >> log2_);
        power_[r] |= (static_cast<uint32_t>(__popc(static_cast<uint32_t>(row & column & ((1 << log2_) - 1)))) & 1u) << i;
      }
    }
  }

  /// Asks for the signs of A_K of 16 columns from 16 step on.
  __device__ void load(int step) {
    const int first = 16 * step >> log2_;
#pragma unroll
    for (int r = 0; r < 2; ++r) words_[r] = static_cast<uint32_t>(rows_[r][first / 16]) >> (first % 16);
  }

  /// The operand of the step whose signs were asked for.
  __device__ void make(int step, uint32_t (&signs)[4]) const {
    const uint32_t flip = __popc(static_cast<uint32_t>(16 * part_ & 16 * step & ((1 << log2_) - 1))) % 2 == 0 ? 0u : 3u;
#pragma unroll
    for (int n = 0; n < 4; ++n) {
      const int r = n % 2, i = n / 2 * 2;
      const uint32_t both = (words_[r] >> columns_[i] & 1u) | (words_[r] >> columns_[i + 1] & 1u) << 1;
      signs[n] = signed_ones<T>(both ^ (power_[r] >> i & 3u) ^ flip);
    }
  }

 private:
  const uint16_t* rows_[2];
  uint32_t power_[2], columns_[4], words_[2];
  int log2_, part_;
};

/// A block has one block of H_n for a tile of columns, a warp at a time 16 rows of H_outer for one group of them. H_outer on the matrix units, whose operands
/// are numbers as they were read: exact but for the sums in float32. S_inner by additions, since a lane has all of it. Nothing is exchanged but a word of a
/// pair of lanes, so that a quad stores whole sectors of memory where there are 16 columns. Each 16 rows of H_outer read the tile in shared memory once: 2
/// bytes an element, for which the units take 16 products. Reads and writes each element once; bound by memory while H_outer has few rows, beyond by shared
/// memory and the units. grid: (tiles of columns, blocks of H of this size).
template <class Shape, bool has_max, class T>
__global__ void __launch_bounds__(kThreads, 1)
    hadamard_long_columns_kernel(const T* x, T* y, [[maybe_unused]] float* absmax, int64_t columns, SignBits bits, ColumnsLayout layout, float scale) {
  constexpr int kInner = Shape::kInner, kPacks = Shape::kPacks, kGroupPacks = Shape::kGroupPacks, kVariants = Shape::kVariants;
  const int steps = layout.steps, outer = layout.outer();
  auto* tile = cuda::dynamic_shared<T>();
  const int lane = static_cast<int>(threadIdx.x) % cuda::kWarp, warp = static_cast<int>(threadIdx.x) / cuda::kWarp;
  const int64_t column_at = static_cast<int64_t>(blockIdx.x) * kPacks * kPackElements, row_at = static_cast<int64_t>(blockIdx.y) * outer * kInner;
  x += row_at * columns;
  y += row_at * columns;
  for (int i = static_cast<int>(threadIdx.x); i < 16 * steps * kInner * kPacks; i += kThreads) {
    const int row = i / kPacks;
    const int64_t column = column_at + i % kPacks * kPackElements;
    const bool is_inside = column < columns && row < outer * kInner;
    cuda::copy_async_of_line(tile + place(i, row / kInner) * kPackElements, x + (is_inside ? row * columns + column : 0), is_inside);
  }
  cuda::commit_copies();
  auto* order_bits = reinterpret_cast<uint16_t*>(tile + 16 * steps * kInner * kPacks * kPackElements);
  if (layout.order > 1) {
    for (int i = static_cast<int>(threadIdx.x); i < layout.order * layout.row_words(); i += kThreads) {
      order_bits[i] = bits.bits[i / layout.row_words()][i % layout.row_words()];
    }
  }
  cuda::wait_for_copies<0>();
  __syncthreads();
  uint32_t base[4];
  fill_signs<T>(base);
  cuda::LargestOfWords<T, has_max> largest;
  for (int item = warp; item < steps * (kPacks / kGroupPacks); item += kThreads / cuda::kWarp) {
    const int part = item % steps, group = item / steps;
    // A load has two operands, of 16 rows of H_outer each: two packs of a row, or one pack of two rows.
    const T* loaded[kVariants];
#pragma unroll
    for (int v = 0; v < kVariants; ++v) {
      const int pack = v * Shape::kLoadPacks + (kGroupPacks == 2 ? 2 * group + lane / 16 : lane / 16 * kPacks + group);
      loaded[v] = tile + (lane % 16 * kInner * kPacks + place(pack, lane)) * kPackElements;
    }
    OrderSigns<T> order_signs(order_bits, layout, part);
    if (layout.order > 1) order_signs.load(0);
    float sums[kLoads][2][4] = {};
#pragma unroll 1
    for (int step = 0; step < steps; ++step) {
      uint32_t signs[4];
      if (layout.order == 1) {
        power_signs(part, step, base, signs);
      } else {
        order_signs.make(step, signs);
        order_signs.load(step + 1 < steps ? step + 1 : step);
      }
#pragma unroll
      for (int n = 0; n < kLoads; ++n) {
        uint32_t b[4];
        cuda::load_matrices<true>(loaded[n % kVariants] + (step * 16 * kInner * kPacks + n / kVariants * kVariants * Shape::kLoadPacks) * kPackElements, b);
        cuda::multiply_add<T>(sums[n][0], signs, b[0], b[1]);
        cuda::multiply_add<T>(sums[n][1], signs, b[2], b[3]);
      }
    }
    if constexpr (kGroupPacks == 1) within_pairs(sums);
    across_tiles<4>(sums);
    // A lane has two columns of two packs, or rows, and gives one of the pairs to its neighbour for the other's.
    const int first = 16 * part + lane / 4, quad_lane = lane % 4;
    const bool is_odd = quad_lane % 2 != 0;
    const int64_t column = column_at + group * kGroupPacks * kPackElements + quad_lane / 2 * 4 + (kGroupPacks == 2 && is_odd ? kPackElements : 0);
    T* to = y + (first * kInner + (kGroupPacks == 1 && is_odd ? 1 : 0)) * columns + column;
#pragma unroll
    for (int n = 0; n < kLoads; ++n) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        uint32_t words[2];
#pragma unroll
        for (int i = 0; i < 2; ++i) words[i] = cuda::packed_pair<T>(sums[n][i][2 * half] * scale, sums[n][i][2 * half + 1] * scale);
        const auto pack = words_of_neighbours(words[0], words[1]);
        if (column >= columns || first + 8 * half >= outer) continue;
        for (const uint32_t word : pack.values) largest.take(word);
        cuda::store_words(to + (n * (3 - kGroupPacks) + half * 8 * kInner) * columns, pack);
      }
    }
  }
  if constexpr (has_max) {
    __shared__ uint32_t scratch[cuda::kWarp];
    cuda::raise_absolute_max(largest.magnitude(), absmax, scratch);
  }
}

/// Rows of S_inner that a lane has and packs of a tile's columns; 0 packs where there is no plan.
struct ColumnsPlan {
  ColumnsLayout layout;
  int inner = 0, packs = 0;
};

/// 16 rows of S_inner and at least 16 columns, whole sectors of memory, up to 256 rows of H_outer; 32 rows and 8 columns up to 448, of 224 KB.
ColumnsPlan plan_for(int64_t size) {
  const HadamardOrder found = hadamard_order(size);
  if (found.order < 1 || found.order > kMostOrder || (found.order == 1 && found.log2 < 9)) return {};
  const auto plan = [&](int inner_log2, int packs) -> ColumnsPlan {
    if (found.log2 < inner_log2) return {};
    const auto steps = static_cast<int>(cuda::ceil_div(size >> inner_log2, 16));
    return {
        .layout = {.order = static_cast<int>(found.order), .outer_log2 = found.log2 - inner_log2, .steps = steps}, .inner = 1 << inner_log2, .packs = packs};
  };
  const int64_t outer = size >> 4;
  if (outer <= 256) return plan(4, outer <= 128 ? 4 : 2);
  return outer <= 896 ? plan(5, 1) : ColumnsPlan();
}

/// Calls f.operator()<Shape>() with the shape of a plan.
template <class F>
auto with_shape(const ColumnsPlan& plan, F&& f) {
  if (plan.inner == 32) return f.template operator()<LongShape<32, 1>>();
  return plan.packs == 2 ? f.template operator()<LongShape<16, 2>>() : f.template operator()<LongShape<16, 4>>();
}

}  // namespace

bool hadamard_long_columns_supports(DType type, const void* x, const void* y, int64_t columns, int64_t size) {
  const ColumnsPlan plan = plan_for(size);
  if (plan.packs == 0 || size_of(type) != 2 || columns % kPackElements != 0 || !cuda::is_aligned(x, 16) || !cuda::is_aligned(y, 16)) return false;
  // A maximum takes a little of the memory too.
  return with_shape(plan, [&]<class Shape>() { return Shape::bytes(plan.layout) <= cuda::most_shared_bytes() - 1024; });
}

Status hadamard_long_columns_cuda(DType type, const void* x, void* y, float* absmax, int64_t columns, int64_t size, int64_t blocks, bool inverse, float scale,
                                  cudaStream_t stream) {
  HALO_REQUIRE(size_of(type) == 2, "bfloat16 or float16", type, "Cast the tensor.");
  const ColumnsPlan plan = plan_for(size);
  HALO_REQUIRE(plan.packs > 0, "a size that hadamard_long_columns_supports", size, "Ask it before.");
  return with_shape(plan, [&]<class Shape>() {
    const auto run = [&]<class T>() -> Status {
      const auto kernel = absmax == nullptr ? hadamard_long_columns_kernel<Shape, false, T> : hadamard_long_columns_kernel<Shape, true, T>;
      const auto bytes = static_cast<int>(Shape::bytes(plan.layout));
      HALO_CUDA_RETURN_IF_ERROR(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes));
      return cuda::launch(kernel, dim3(cuda::grid_for(columns, Shape::kPacks * kPackElements), static_cast<unsigned>(blocks)), kThreads,
                          static_cast<size_t>(bytes), stream, static_cast<const T*>(x), static_cast<T*>(y), absmax, columns,
                          sign_bits(plan.layout.order, inverse), plan.layout, scale);
    };
    return type == DType::kBFloat16 ? run.template operator()<BFloat16>() : run.template operator()<Float16>();
  });
}

}  // namespace halo
