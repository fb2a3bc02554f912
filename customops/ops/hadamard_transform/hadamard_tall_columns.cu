// Vectors along columns, 2048 and 4096 long, of 16-bit numbers: whole vectors in shared memory, sums handed over once in float32 where numbers were that have
// been read, and the next vectors on their way meanwhile.
#include <algorithm>

#include "ops/hadamard_transform/hadamard_column_tiles.cuh"
#include "ops/hadamard_transform/hadamard_kernels.h"

namespace halo {

namespace {

using namespace hadamard_columns;

/// A block has all warps of a multiprocessor that have 128 registers a lane. A warp's memory has slots for a quarter of its rows and half of a tile's columns:
/// a tile takes eight, the next one four, then the four of the first half.
constexpr int kWarps = 16, kThreads = kWarps * cuda::kWarp, kSlots = 12, kSlotBytes = 1024, kQuarters = 4, kWarpBytes = kSlots * kSlotBytes;
constexpr int kBytes = kWarps * kWarpBytes;

/// H_n = S_16 (x) S_rows: a warp has `rows` rows, 256 of two packs of columns or 128 of four.
template <int half_packs>
struct TallShape {
  static constexpr int kHalfPacks = half_packs, kPacks = 2 * half_packs, kColumns = kPacks * kPackElements, kWarpRows = 256 / half_packs;
  static constexpr int kRows = kWarps * kWarpRows, kQuarterRows = kWarpRows / kQuarters;
};

/// Which slots a tile has, four bits each: for the quarters of its first half of columns, for those of its second, and the free ones.
class Slots {
 public:
  __device__ int of(int half, int quarter) const { return static_cast<int>(places_ >> (16 * half + 4 * quarter) & 15); }

  /// Those of the next tile: for two quarters where nothing is, for two where the first half was.
  __device__ Slots next() const {
    Slots result;
    result.places_ = 0;
#pragma unroll
    for (int i = 0; i < kQuarters; ++i) {
      result.set(0, i, of(i < 2 ? 2 : 0, i % 2 * 2));
      result.set(1, i, of(i < 2 ? 2 : 0, i % 2 * 2 + 1));
      result.set(2, i, of(1, i));
    }
    return result;
  }

 private:
  __device__ void set(int half, int quarter, int slot) { places_ |= static_cast<uint64_t>(slot) << (16 * half + 4 * quarter); }

  uint64_t places_ = 0xBA9876543210;
};

/// Where pack `pack` of a row lies in a slot, in bytes: eight rows meet different banks, and so do the halves of four rows (of two, where they have four
/// packs).
template <class Shape>
__device__ int place(int row, int pack) {
  if constexpr (Shape::kHalfPacks == 1) return (row ^ (4 * pack)) * 16;
  return ((row ^ (pack & 2)) * 2 + (pack % 2 ^ row / 4 % 2)) * 16;
}

/// S of a warp's rows, for half of the columns: S_16 on the matrix units, whose operands are numbers as they were read, the rest by additions.
template <class Shape, class T>
__device__ void transform_half(const unsigned char* own, const Slots& slots, int half, const uint32_t (&signs)[4], float (&sums)[8][2][4]) {
  const int lane = static_cast<int>(threadIdx.x) % cuda::kWarp;
#pragma unroll
  for (int n = 0; n < 8; ++n) {
    // Two packs of 16 rows, or one of 32.
    const int from = Shape::kHalfPacks == 1 ? place<Shape>(lane, half) : place<Shape>(lane % 16, 2 * half + lane / 16);
    uint32_t b[4];
    cuda::load_matrices<true>(own + slots.of(half, n / 2) * kSlotBytes + n % 2 * (kSlotBytes / 2) + from, b);
    cuda::multiply<T>(sums[n][0], signs, b[0], b[1]);
    cuda::multiply<T>(sums[n][1], signs, b[2], b[3]);
  }
  if constexpr (Shape::kHalfPacks == 1) within_pairs(sums);
  across_tiles<3>(sums);
}

/// Half of a lane's sums for half of the columns, where these columns were: eight rows of eight columns side by side, two numbers a lane. Of one pack of
/// columns half of the rows, of two packs one of them.
template <class Shape>
__device__ void hand_over(unsigned char* own, const Slots& slots, int half, int part, const float (&sums)[8][2][4]) {
  const int lane = static_cast<int>(threadIdx.x) % cuda::kWarp;
#pragma unroll
  for (int n = 0; n < kQuarters; ++n) {
    auto* const to = reinterpret_cast<float*>(own + slots.of(half, n) * kSlotBytes) + lane * 2;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const float(&four)[4] = Shape::kHalfPacks == 1 ? sums[4 * part + n][i / 2] : sums[2 * n + i / 2][part];
      cuda::store_pair(to + 64 * i, four[i % 2 * 2], four[i % 2 * 2 + 1]);
    }
  }
}

/// S_16 between warps, of eight rows of each; results rounded, two columns a word.
template <class T>
__device__ void across_warps(const unsigned char* memory, const Slots& slots, int half, float scale, uint32_t (&words)[kWarps]) {
  const int lane = static_cast<int>(threadIdx.x) % cuda::kWarp, warp = static_cast<int>(threadIdx.x) / cuda::kWarp;
  const unsigned char* const from = memory + slots.of(half, warp / 4) * kSlotBytes + warp % 4 * 256 + lane * 8;
  float sums[kWarps][2];
#pragma unroll
  for (int w = 0; w < kWarps; ++w) {
    const auto two = *reinterpret_cast<const cuda::Pack<float, 2>*>(from + w * kWarpBytes);
    sums[w][0] = two.values[0];
    sums[w][1] = two.values[1];
  }
#pragma unroll
  for (int distance = 1; distance < kWarps; distance *= 2) {
#pragma unroll
    for (int w = 0; w < kWarps; ++w) {
      if ((w & distance) != 0) continue;
#pragma unroll
      for (int c = 0; c < 2; ++c) {
        const float a = sums[w][c], b = sums[w + distance][c];
        sums[w][c] = a + b;
        sums[w + distance][c] = a - b;
      }
    }
  }
#pragma unroll
  for (int w = 0; w < kWarps; ++w) words[w] = cuda::packed_pair<T>(sums[w][0] * scale, sums[w][1] * scale);
}

/// A block walks over tiles of whole vectors, 16 columns of 4096 or 32 of 2048. Each half of the columns is read by the warps that copied it, and handed over
/// in two parts; results wait in registers for those of the other half, so that rows are stored by 32 or 64 bytes. Exact but for sums in float32. Reads and
/// writes each element once; shared memory moves 12 bytes an element; bound by memory, and by 32-byte rows to two thirds of a copy.
template <class Shape, bool has_max, class T>
__global__ void __launch_bounds__(kThreads, 1)
    hadamard_tall_columns_kernel(const T* x, T* y, [[maybe_unused]] float* absmax, int64_t columns, TileGrid grid, float scale) {
  constexpr int kPacks = Shape::kPacks, kCopyRows = cuda::kWarp / kPacks;
  const int lane = static_cast<int>(threadIdx.x) % cuda::kWarp, warp = static_cast<int>(threadIdx.x) / cuda::kWarp, blocks = static_cast<int>(gridDim.x);
  auto* const memory = cuda::dynamic_shared<unsigned char>();
  unsigned char* const own = memory + warp * kWarpBytes;
  const auto start_quarters = [&](int at, int first, int count, const Slots& slots) {
    if (at >= grid.tiles) return;
    const int row = lane / kPacks, pack = lane % kPacks;
    const int64_t column = grid.column(at) + pack * kPackElements;
    const bool is_inside = column < columns;
    const T* from = x + (grid.row(at) + warp * Shape::kWarpRows + first * Shape::kQuarterRows + row) * columns + (is_inside ? column : 0);
    for (int quarter = first; quarter < first + count; ++quarter) {
      unsigned char* const to = own + slots.of(pack / Shape::kHalfPacks, quarter) * kSlotBytes + place<Shape>(row, pack);
#pragma unroll
      for (int n = 0; n < Shape::kQuarterRows / kCopyRows; ++n) {
        cuda::copy_async_of_line(to + n * kCopyRows * Shape::kHalfPacks * 16, from, is_inside);
        from += kCopyRows * columns;
      }
    }
    cuda::commit_copies();
  };
  uint32_t signs[4];
  fill_signs<T>(signs);
  cuda::LargestOfWords<T, has_max> largest;  // columns beyond the last are zeros
  Slots slots;
  start_quarters(static_cast<int>(blockIdx.x), 0, kQuarters, slots);
  for (int at = static_cast<int>(blockIdx.x); at < grid.tiles; at += blocks, slots = slots.next()) {
    cuda::wait_for_copies<0>();
    __syncwarp();
    uint32_t words[2][2][kWarps];  // by half and part
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      float sums[8][2][4];
      transform_half<Shape, T>(own, slots, half, signs, sums);
      __syncwarp();
#pragma unroll
      for (int part = 0; part < 2; ++part) {
        if (part > 0) __syncthreads();
        hand_over<Shape>(own, slots, half, part, sums);
        __syncthreads();
        // All have read what was handed over before: the free slots are so, and in the second half those of the first.
        if (part == 0) start_quarters(at + blocks, 2 * half, 2, slots.next());
        across_warps<T>(memory, slots, half, scale, words[half][part]);
        for (const uint32_t word : words[half][part]) largest.take(word);
      }
    }
    const int64_t row = grid.row(at) + warp * 8 + lane / 4, column_at = grid.column(at);
    const bool is_odd = lane % 2 != 0, is_second = lane / 2 % 2 != 0;
    if constexpr (Shape::kHalfPacks == 1) {
      const int64_t column = column_at + lane % 4 / 2 * 4 + (is_odd ? kPackElements : 0);
#pragma unroll
      for (int part = 0; part < 2; ++part) {
        T* to = y + (row + part * (Shape::kWarpRows / 2)) * columns + column;
#pragma unroll
        for (int w = 0; w < kWarps; ++w) {
          const auto pack = words_of_neighbours(words[0][part][w], words[1][part][w]);
          if (column < columns) cuda::store_words(to, pack);
          to += Shape::kWarpRows * columns;
        }
      }
    } else {
      // A lane has a word of each of four packs, and gets all of one.
      const int64_t column = column_at + lane % 4 * kPackElements;
      T* to = y + row * columns + column;
#pragma unroll
      for (int w = 0; w < kWarps; ++w) {
        const auto low = words_of_neighbours(words[0][0][w], words[0][1][w]), high = words_of_neighbours(words[1][0][w], words[1][1][w]);
        cuda::Pack<uint32_t, 4> pack;
#pragma unroll
        for (int i = 0; i < 2; ++i) {
          const uint32_t theirs = __shfl_xor_sync(cuda::kAllLanes, is_second ? low.values[i] : high.values[i], 2);
          pack.values[i] = is_second ? theirs : low.values[i];
          pack.values[2 + i] = is_second ? high.values[i] : theirs;
        }
        if (column < columns) cuda::store_words(to, pack);
        to += Shape::kWarpRows * columns;
      }
    }
  }
  if constexpr (has_max) {
    __shared__ uint32_t scratch[cuda::kWarp];
    cuda::raise_absolute_max(largest.magnitude(), absmax, scratch);
  }
}

template <class Shape, class T>
Status run(const void* x, void* y, float* absmax, int64_t columns, int64_t blocks, float scale, cudaStream_t stream) {
  const auto kernel = absmax == nullptr ? hadamard_tall_columns_kernel<Shape, false, T> : hadamard_tall_columns_kernel<Shape, true, T>;
  HALO_CUDA_RETURN_IF_ERROR(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, kBytes));
  const TileGrid grid = grid_of<Shape>(columns, blocks);
  return cuda::launch(kernel, dim3(static_cast<unsigned>(std::min(grid.tiles, cuda::multiprocessors()))), kThreads, kBytes, stream, static_cast<const T*>(x),
                      static_cast<T*>(y), absmax, columns, grid, scale);
}

}  // namespace

bool hadamard_tall_columns_supports(DType type, const void* x, const void* y, int64_t columns, int64_t size) {
  // A maximum takes a little of the memory too.
  return (size == TallShape<1>::kRows || size == TallShape<2>::kRows) && size_of(type) == 2 && columns % kPackElements == 0 && cuda::is_aligned(x, 16) &&
         cuda::is_aligned(y, 16) && kBytes <= cuda::most_shared_bytes() - 1024;
}

Status hadamard_tall_columns_cuda(DType type, const void* x, void* y, float* absmax, int64_t columns, int64_t size, int64_t blocks, float scale,
                                  cudaStream_t stream) {
  HALO_REQUIRE(size_of(type) == 2, "bfloat16 or float16", type, "Cast the tensor.");
  const auto run_with = [&]<class T>() {
    return size == TallShape<1>::kRows ? run<TallShape<1>, T>(x, y, absmax, columns, blocks, scale, stream)
                                       : run<TallShape<2>, T>(x, y, absmax, columns, blocks, scale, stream);
  };
  return type == DType::kBFloat16 ? run_with.template operator()<BFloat16>() : run_with.template operator()<Float16>();
}

}  // namespace halo
