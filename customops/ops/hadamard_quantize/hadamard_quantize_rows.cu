// Vectors along rows, powers of two from 256 to 4096 long, in the registers of warps: X is rotated once for the largest magnitude and once for the codes.
#include <algorithm>
#include <bit>
#include <cmath>

#include "common/codes.h"
#include "ops/hadamard_quantize/hadamard_codes.cuh"
#include "ops/hadamard_quantize/hadamard_quantize_kernels.h"
#include "provider/kernels/dependent_launch.cuh"
#include "provider/kernels/streaming.cuh"

namespace halo {

namespace {

using namespace hadamard_codes;
using namespace hadamard_units;

/// Blocks at most: each has a partial maximum.
constexpr int64_t kMostBlocks = 1024;

/// X as a kernel walks through it. Items are, with width 0, packs of 4096 elements one after the other, else those of `width` columns: a token, or two.
struct Layout {
  int64_t rows = 0, columns = 0, tiles = 0;  // all tiles of X
  int64_t count = 0;                         // items with width 0, else units of kUnitItems items of each warp
  cuda::Divider segments;                    // of `width` columns in a row
  int levels = 0;                            // of a vector's tiles
  float scale = 0;                           // of H
};

/// Where an item of a warp begins, and how many tiles it has.
struct Item {
  int64_t at;
  int tiles;
};

/// The larger of a and |b|, NaN where either is one.
__device__ float larger_magnitude(float a, float b) {
#ifdef HALO_CUDA_EMULATED
  return cuda::MaxOf()(a, fabsf(b));
#else
  float larger;
  asm("max.NaN.f32 %0, %1, %2;" : "=f"(larger) : "f"(a), "f"(fabsf(b)));
  return larger;
#endif
}

template <bool is_last_time>
__device__ Words load(const void* from) {
  return is_last_time ? cuda::load_streaming(from) : *static_cast<const Words*>(from);
}

/// `pitch`: elements between the two tokens of an item that has two.
template <bool is_last_time, int width, class T>
__device__ void load_item(const T* x, const Item& item, int64_t pitch, Words (&words)[kTiles]) {
  const T* from = x + item.at + threadIdx.x % cuda::kWarp * kLaneElements;
  constexpr int kHalf = kTiles / 2;
  const auto place = [&](int t) { return width == kHalf * kTile ? from + t / kHalf * pitch + t % kHalf * kTile : from + t * kTile; };
  if (item.tiles == kTiles) {
#pragma unroll
    for (int t = 0; t < kTiles; ++t) words[t] = load<is_last_time>(place(t));
  } else {
#pragma unroll
    for (int t = 0; t < kTiles; ++t) {
      words[t] = {};
      if (t < item.tiles) words[t] = load<is_last_time>(place(t));
    }
  }
}

/// Levels that a kernel reads from its layout: where they may be left out, a sum has to stay where it is, and is copied; so those of the usual sizes are known.
constexpr int kAnyLevels = -1;

/// The first factor and the levels between tiles; then the words may be those of the next item.
template <int levels, class T, class F>
__device__ void rotate(Words (&words)[kTiles], const uint32_t (&signs)[4], const Layout& layout, float (&sums)[kTiles][2][4], F&& load_next) {
#pragma unroll
  for (int t = 0; t < kTiles; ++t) first_factor<T>(words[t].values, signs, sums[t]);
  load_next();
  if constexpr (levels != kAnyLevels) {
    across_tiles<levels>(sums);
  } else {
#pragma unroll
    for (int level = 0; level < 4; ++level) {
      if (level < layout.levels) across_tiles(sums, 1 << level);
    }
  }
}

/// An item of width 0: the n-th of all.
__device__ Item item_of(const Layout& layout, int64_t n) {
  const int64_t left = layout.tiles - n * kTiles;
  return {n * kItem, left < kTiles ? static_cast<int>(left) : kTiles};
}

/// The largest magnitude of a block's part of the result, as it would be stored: rounding keeps the order of sums. Walks from the beginning of X to its end.
/// Reads x once; bound by memory.
template <int levels, class T>
__global__ void __launch_bounds__(kThreads, 1) rotated_maximum_kernel(const T* x, uint32_t* partial, Layout layout) {
  cuda::let_next_start();
  __shared__ uint32_t scratch[cuda::kWarp];
  uint32_t signs[4], own_signs[4];
  fill_signs<BFloat16>(signs);
  fill_signs<T>(own_signs);
  const int64_t step = static_cast<int64_t>(gridDim.x) * kWarps;
  int64_t n = static_cast<int64_t>(blockIdx.x) * kWarps + threadIdx.x / cuda::kWarp;
  Words words[kTiles];
  if (n < layout.count) load_item<false, 0>(x, item_of(layout, n), 0, words);
  float largest[4] = {};
  for (; n < layout.count; n += step) {
    float sums[kTiles][2][4];
    rotate<levels, T>(words, own_signs, layout, sums, [&] {
      if (n + step < layout.count) load_item<false, 0>(x, item_of(layout, n + step), 0, words);
    });
#pragma unroll
    for (int t = 0; t < kTiles; ++t) {
      float values[kLaneElements];
      second_factor<kParts<T>>(sums[t], signs, values);
#pragma unroll
      for (int i = 0; i < kLaneElements; ++i) largest[i % 4] = larger_magnitude(largest[i % 4], values[i]);
    }
  }
  const float most = larger_magnitude(larger_magnitude(largest[0], largest[1]), larger_magnitude(largest[2], largest[3]));
  const uint32_t magnitude = cuda::over_block(cuda::LargerOf(), cuda::magnitude_of(from_float<T>(most * layout.scale)), 0u, scratch);
  if (threadIdx.x == 0) partial[blockIdx.x] = magnitude;
}

/// The codes. A warp has an item at a time, a lane 8 neighbouring elements of each tile; codes along rows leave its registers. With `width`, 16 or 32 tokens of
/// that many columns meet in each of three buffers of 64 KB; two of them are written turned, in pieces of 32 bytes of a column or more, while warps ahead fill
/// the third. Walks from the end of X, which the first pass has left in the cache, to its beginning. Reads x once, writes a byte or two for each element; bound
/// by memory.
template <class Format, int width, int levels, class T>
__global__ void __launch_bounds__(kThreads, 1)
    rotated_codes_kernel(const T* x, uint8_t* codes, uint8_t* turned, float* scale, const uint32_t* partial, int partials, Layout layout) {
  constexpr int kTokens = width == 0 ? 0 : kItem / std::max(width, 1);  // of an item
  __shared__ uint32_t scratch[cuda::kWarp];
  const int lane = static_cast<int>(threadIdx.x) % cuda::kWarp, warp = static_cast<int>(threadIdx.x) / cuda::kWarp;
  auto* buffers = cuda::dynamic_shared<unsigned char>();
  uint32_t signs[4], own_signs[4];
  fill_signs<BFloat16>(signs);
  fill_signs<T>(own_signs);
  // Of the items of this warp, the p-th; `token`: its first one, and its column.
  const int64_t step = static_cast<int64_t>(gridDim.x) * (width == 0 ? kWarps : 1), first = width == 0 ? blockIdx.x * kWarps + warp : blockIdx.x;
  const auto items = static_cast<int>(first < layout.count ? (layout.count - first + step - 1) / step * (width == 0 ? 1 : kUnitItems) : 0);
  [[maybe_unused]] const auto token_of = [&](int p) { return ((p / kItems % 2 ^ 1) * kItems + p % kItems) * kWarps * kTokens + warp * kTokens; };
  [[maybe_unused]] const auto unit_of = [&](int p) { return static_cast<uint32_t>(layout.count - 1 - first - p / kUnitItems * step); };
  const auto place_of = [&](int p) -> Item {
    if constexpr (width == 0) {
      return item_of(layout, layout.count - 1 - first - p * step);
    } else {
      const uint32_t unit = unit_of(p), group = layout.segments.quotient(unit);
      const int64_t token = static_cast<int64_t>(group) * (kUnitItems * kWarps * kTokens) + token_of(p);
      return {token * layout.columns + static_cast<int64_t>(unit - group * layout.segments.divisor) * width, token < layout.rows ? kTiles : 0};
    }
  };
  Words words[kTiles];
  if (items > 0) load_item<true, width>(x, place_of(0), layout.columns, words);
  cuda::wait_for_inputs();
  uint32_t magnitude = 0;
  for (int i = static_cast<int>(threadIdx.x); i < partials; i += kThreads) magnitude = cuda::LargerOf()(magnitude, partial[i]);
  const float exact = std::bit_cast<float>(cuda::over_block(cuda::LargerOf(), magnitude, 0u, scratch)) / Format::kQMax;
  const float used = exact < std::numeric_limits<float>::min() ? 1.0f : exact;
  if (blockIdx.x == 0 && threadIdx.x == 0) *scale = used;
  const Quotients quotients(used, layout.scale);
  for (int p = 0; p < items; ++p) {
    const Item item = place_of(p);
    float sums[kTiles][2][4];
    rotate<levels, T>(words, own_signs, layout, sums, [&] {
      if (p + 1 < items) load_item<true, width>(x, place_of(p + 1), layout.columns, words);
    });
    const int section = p / kItems;
    if (width != 0 && section % 2 == 1 && section > 1 && p % kItems == 0) __syncthreads();  // what this section's buffer had is written
    unsigned char* buffer = buffers + section % kBuffers * kBuffer;
    uint8_t* to = codes + item.at + lane * kLaneElements;
    constexpr int kTokenTiles = width == 0 ? kTiles : width / kTile;
#pragma unroll
    for (int t = 0; t < kTiles; ++t) {
      float values[kLaneElements];
      second_factor<kParts<T>>(sums[t], signs, values);
      const auto eight = encode_eight<Format, T>(values, quotients);
      const int token = t / kTokenTiles, tile = t % kTokenTiles;
      if (t < item.tiles) cuda::store_streaming(to + token * layout.columns + tile * kTile, eight);
      if constexpr (width != 0) {
        const int row = (token_of(p) + token) % Turning<width>::kTokens, group = (token_of(p) + token) / 16;
        *reinterpret_cast<cuda::Pack<uint32_t, 2>*>(buffer + row * width + Turning<width>::place(tile * cuda::kWarp + lane, group)) = eight;
      }
    }
    if constexpr (width != 0) {
      if (p % kUnitItems != kUnitItems - 1) continue;
      __syncthreads();
      const uint32_t unit = unit_of(p), group = layout.segments.quotient(unit);
      const int64_t column = static_cast<int64_t>(unit - group * layout.segments.divisor) * width;
      Turning<width>::write(buffer, buffers + (section - 1) % kBuffers * kBuffer, turned + column * layout.rows,
                            static_cast<int64_t>(group) * (kUnitItems * kWarps * kTokens), layout.rows);
    }
  }
}

/// Columns that a unit has: those of an item, or half of them; 0 where neither is right.
int64_t width_for(int64_t columns, int64_t size) { return columns % kItem == 0 ? kItem : (columns % (kItem / 2) == 0 && size <= kItem / 2 ? kItem / 2 : 0); }

template <class Format, int width, int levels, class T>
Status run(const T* x, uint8_t* codes, uint8_t* turned, float* scale, Layout layout, uint32_t* partial, cudaStream_t stream) {
  const auto blocks_for = [](int64_t items) { return static_cast<unsigned>(std::min({items, static_cast<int64_t>(cuda::multiprocessors()), kMostBlocks})); };
  layout.count = cuda::ceil_div(layout.tiles, kTiles);
  const unsigned readers = blocks_for(cuda::ceil_div(layout.count, kWarps));
  HALO_RETURN_IF_ERROR(cuda::launch(rotated_maximum_kernel<levels, T>, readers, kThreads, 0, stream, x, partial, layout));
  unsigned blocks = readers;
  if constexpr (width != 0) {
    layout.segments = cuda::Divider(layout.columns / width);
    layout.count = cuda::ceil_div(layout.rows, 2 * kBuffer / width) * (layout.columns / width);
    blocks = blocks_for(layout.count);
  }
  constexpr int kBytes = width == 0 ? 0 : kBuffers * kBuffer;
  const auto kernel = rotated_codes_kernel<Format, width, levels, T>;
  HALO_CUDA_RETURN_IF_ERROR(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, kBytes));
  return cuda::launch_dependent(kernel, blocks, kThreads, kBytes, stream, x, codes, turned, scale, partial, static_cast<int>(readers), layout);
}

/// A vector of a whole unit's columns, in bfloat16, has a kernel of its own.
template <class Format, int width, class T>
Status run(const T* x, uint8_t* codes, uint8_t* turned, float* scale, const Layout& layout, uint32_t* partial, cudaStream_t stream) {
  if constexpr (std::is_same_v<T, BFloat16>) {
    if (width != kItem / 2 && layout.levels == 4) return run < Format, width, width == kItem / 2 ? 3 : 4 > (x, codes, turned, scale, layout, partial, stream);
    if (width != kItem && layout.levels == 3) return run < Format, width, width == kItem ? 4 : 3 > (x, codes, turned, scale, layout, partial, stream);
  }
  return run<Format, width, kAnyLevels>(x, codes, turned, scale, layout, partial, stream);
}

template <class Format, class T>
Status run(int64_t width, const T* x, uint8_t* codes, uint8_t* turned, float* scale, const Layout& layout, uint32_t* partial, cudaStream_t stream) {
  if (turned == nullptr) return run<Format, 0>(x, codes, turned, scale, layout, partial, stream);
  if (width == kItem) return run<Format, kItem>(x, codes, turned, scale, layout, partial, stream);
  return run<Format, kItem / 2>(x, codes, turned, scale, layout, partial, stream);
}

}  // namespace

bool hadamard_quantize_rows_takes(const char* format, DType type, const void* x, const void* codes, const void* turned, int64_t rows, int64_t columns,
                                  const int64_t* blocks, int64_t blocks_count) {
  if (std::string_view(format) == E3M2::kName || (type != DType::kBFloat16 && type != DType::kFloat16) || blocks_count == 0 || rows == 0) return false;
  const int64_t size = blocks[0];
  const bool is_power = (size & (size - 1)) == 0 && size >= kTile && size <= kItem;
  const bool is_whole = is_power && columns == size * blocks_count && std::all_of(blocks, blocks + blocks_count, [&](int64_t n) { return n == size; });
  const bool is_turned = turned == nullptr || (rows % 16 == 0 && cuda::is_aligned(turned, 16) && is_power && width_for(columns, size) != 0);
  return is_whole && is_turned && cuda::is_aligned(x, 16) && cuda::is_aligned(codes, 8);
}

bool hadamard_quantize_rows_supports(const char* format, DType type, const void* x, const void* codes, const void* turned, int64_t rows, int64_t columns,
                                     const int64_t* blocks, int64_t blocks_count) {
  if (!hadamard_quantize_rows_takes(format, type, x, codes, turned, rows, columns, blocks, blocks_count)) return false;
  if (cuda::most_shared_bytes() < kBuffers * kBuffer + 1024) return false;
  const int64_t work = turned == nullptr ? kWarps * kItem : 2 * kBuffer, units = cuda::ceil_div(rows * columns, work), most = cuda::multiprocessors();
  return units * 4 >= cuda::ceil_div(units, most) * most * 3;
}

int64_t hadamard_quantize_rows_workspace() { return kMostBlocks * static_cast<int64_t>(sizeof(uint32_t)); }

Status hadamard_quantize_rows_cuda(const char* format, DType type, const void* x, void* codes, void* turned, float* scale, int64_t rows, int64_t columns,
                                   const int64_t* blocks, [[maybe_unused]] int64_t blocks_count, void* workspace, cudaStream_t stream) {
  const int64_t size = blocks[0];
  const Layout layout{.rows = rows,
                      .columns = columns,
                      .tiles = rows * columns / kTile,
                      .count = 0,
                      .segments = {},
                      .levels = std::countr_zero(static_cast<uint64_t>(size / kTile)),
                      .scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(size)))};
  return dispatch_format(format, [&]<class Format>() -> Status {
    if constexpr (std::is_same_v<Format, E3M2>) {
      return refuse(__FILE__, __LINE__, "format e4m3, e5m2 or int8", Format::kName, "Ask hadamard_quantize_rows_takes.");
    } else {
      const auto start = [&]<class T>() {
        return run<Format, T>(width_for(columns, size), static_cast<const T*>(x), static_cast<uint8_t*>(codes), static_cast<uint8_t*>(turned), scale, layout,
                              static_cast<uint32_t*>(workspace), stream);
      };
      return type == DType::kBFloat16 ? start.template operator()<BFloat16>() : start.template operator()<Float16>();
    }
  });
}

}  // namespace halo
