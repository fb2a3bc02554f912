// Vectors along columns, 256 long, of 16-bit numbers: tiles of 32 columns in shared memory, whole vectors in the registers of warps.
#include "ops/hadamard_transform/hadamard_kernels.h"
#include "ops/hadamard_transform/hadamard_units.cuh"

namespace halo {

namespace {

using namespace hadamard_units;

constexpr int kThreads = 256;

/// Columns of a tile: 64 bytes of a row, what memory moves at a time; those of a warp, 8 bytes.
constexpr int kColumns = 32, kWarpColumns = 4;

/// Elements between rows of the tile: 16 bytes of each 80 are skipped, so that eight lanes with successive rows meet different banks.
constexpr int kPitch = kColumns + 8;

/// Bytes of a row and of a pack that is copied.
constexpr int kPackElements = 8, kRowPacks = kColumns / kPackElements;

/// A block has 32 columns of a vector's rows; a warp four of them. Lanes have successive rows, their elements rows a warp apart: S takes the bits of a row in
/// any order, and results go where numbers came from. Two rows of a column become an operand by a permutation of bytes. Reads and writes each element once;
/// bound by memory. grid: (columns / 32, blocks of H of this size).
template <bool has_max, class T>
__global__ void __launch_bounds__(kThreads, 2) hadamard_columns_kernel(const T* x, T* y, [[maybe_unused]] float* absmax, int64_t columns, float scale) {
  auto* tile = cuda::dynamic_shared<T>();
  const int64_t column_at = static_cast<int64_t>(blockIdx.x) * kColumns, row_at = static_cast<int64_t>(blockIdx.y) * kTile;
  for (int i = static_cast<int>(threadIdx.x); i < kTile * kRowPacks; i += kThreads) {
    const int row = i / kRowPacks, column = i % kRowPacks * kPackElements;
    const bool is_inside = column_at + column < columns;
    cuda::copy_async(tile + row * kPitch + column, x + (row_at + row) * columns + (is_inside ? column_at + column : 0), is_inside);
  }
  cuda::commit_copies();
  cuda::wait_for_copies<0>();
  __syncthreads();
  const int lane = static_cast<int>(threadIdx.x) % cuda::kWarp, warp = static_cast<int>(threadIdx.x) / cuda::kWarp;
  using Words = cuda::Pack<uint32_t, 2>;
  T* own = tile + lane * kPitch + warp * kWarpColumns;
  const auto row_of = [&](int e) { return reinterpret_cast<Words*>(own + e * cuda::kWarp * kPitch); };
  uint32_t signs[4], own_signs[4];
  fill_signs<BFloat16>(signs);
  fill_signs<T>(own_signs);
  Words words[kLaneElements];
#pragma unroll
  for (int e = 0; e < kLaneElements; ++e) words[e] = *row_of(e);
#pragma unroll
  for (int c = 0; c < kWarpColumns; ++c) {
    uint32_t pairs[4];
#pragma unroll
    for (int i = 0; i < 4; ++i) pairs[i] = __byte_perm(words[2 * i].values[c / 2], words[2 * i + 1].values[c / 2], c % 2 == 0 ? 0x5410 : 0x7632);
    float sums[2][4], values[kLaneElements];
    first_factor<T>(pairs, own_signs, sums);
    second_factor<kParts<T>>(sums, signs, values);
#pragma unroll
    for (int e = 0; e < kLaneElements; ++e) {
      uint32_t& word = words[e].values[c / 2];
      word = __byte_perm(word, static_cast<uint32_t>(from_float<T>(values[e] * scale).bits), c % 2 == 0 ? 0x3254 : 0x5410);
    }
  }
  cuda::LargestOfWords<T, has_max> largest;  // columns beyond the last are zeros
#pragma unroll
  for (int e = 0; e < kLaneElements; ++e) {
    for (const uint32_t word : words[e].values) largest.take(word);
    *row_of(e) = words[e];
  }
  __syncthreads();
  for (int i = static_cast<int>(threadIdx.x); i < kTile * kRowPacks; i += kThreads) {
    const int row = i / kRowPacks, column = i % kRowPacks * kPackElements;
    if (column_at + column >= columns) continue;
    *reinterpret_cast<cuda::Pack<T, kPackElements>*>(y + (row_at + row) * columns + column_at + column) =
        *reinterpret_cast<const cuda::Pack<T, kPackElements>*>(tile + row * kPitch + column);
  }
  if constexpr (has_max) {
    __shared__ uint32_t scratch[cuda::kWarp];
    cuda::raise_absolute_max(largest.magnitude(), absmax, scratch);
  }
}

}  // namespace

bool hadamard_columns_supports(DType type, const void* x, const void* y, int64_t columns, int64_t size) {
  return size == kTile && size_of(type) == 2 && columns % kPackElements == 0 && cuda::is_aligned(x, 16) && cuda::is_aligned(y, 16);
}

Status hadamard_columns_cuda(DType type, const void* x, void* y, float* absmax, int64_t columns, int64_t blocks, float scale, cudaStream_t stream) {
  const auto run = [&]<class T>() -> Status {
    constexpr int kBytes = kTile * kPitch * static_cast<int>(sizeof(T));
    const auto kernel = absmax == nullptr ? hadamard_columns_kernel<false, T> : hadamard_columns_kernel<true, T>;
    return cuda::launch(kernel, dim3(cuda::grid_for(columns, kColumns), static_cast<unsigned>(blocks)), kThreads, kBytes, stream, static_cast<const T*>(x),
                        static_cast<T*>(y), absmax, columns, scale);
  };
  HALO_REQUIRE(size_of(type) == 2, "bfloat16 or float16", type, "Cast the tensor.");
  return type == DType::kBFloat16 ? run.template operator()<BFloat16>() : run.template operator()<Float16>();
}

}  // namespace halo
