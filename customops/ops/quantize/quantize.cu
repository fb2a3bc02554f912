#include <cmath>

#include "common/codes.h"
#include "ops/quantize/quantize.h"
#include "provider/kernels/words.cuh"

namespace halo {

namespace {

constexpr int kThreads = 256;

/// Blocks of the first pass at most, and elements of a block below which more blocks gain nothing.
constexpr int64_t kMostBlocks = 1056, kLeastPiece = 16384;

/// Codes along each side of a tile that is written in both orders.
constexpr int kTile = 128;

/// What a thread has of such a tile at a time: columns, and successive rows.
constexpr int kTileWidth = 8, kTileRows = 4;

/// max |x| with NaN above Inf, and that of numbers alone, as bits: on magnitudes their order is that of the numbers.
struct Magnitudes {
  uint32_t all, numbers;
};

struct Larger {
  __device__ uint32_t operator()(uint32_t a, uint32_t b) const { return a > b ? a : b; }
};

__device__ Magnitudes over_block(Magnitudes maxima, uint32_t* scratch) {
  return {cuda::over_block(Larger(), maxima.all, 0u, scratch), cuda::over_block(Larger(), maxima.numbers, 0u, scratch)};
}

__device__ uint32_t bits_of(float x) { return std::bit_cast<uint32_t>(x); }

/// Packs of a thread that are on their way at a time.
constexpr int kInFlight = 4;

/// A thread has kInFlight times 16 bytes a step. Maxima of blocks meet in `largest`, zeroed before: which comes first does not matter. Reads x once; bound by
/// memory.
template <class T>
__global__ void __launch_bounds__(kThreads) absolute_max_kernel(const T* x, int64_t count, Magnitudes* largest, bool is_packed) {
  constexpr int kWidth = cuda::kRowWidth<T>;
  __shared__ uint32_t scratch[cuda::kWarp];
  Magnitudes maxima{0, 0};
  const int64_t stride = static_cast<int64_t>(gridDim.x) * kThreads * kWidth;
  for (int64_t first = (static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x) * kWidth; first < count; first += kInFlight * stride) {
    cuda::Words<T> packs[kInFlight];  // 0 behind the end
#pragma unroll
    for (int n = 0; n < kInFlight; ++n) {
      const int64_t at = first + n * stride;
      const int length = count - at < kWidth ? static_cast<int>(count - at) : kWidth;
      if (at < count) packs[n].load(x + at, is_packed && length == kWidth, length);
    }
#pragma unroll
    for (int n = 0; n < kInFlight; ++n) {
#pragma unroll
      for (int i = 0; i < kWidth; ++i) {
        const uint32_t magnitude = bits_of(packs[n].number(i)) & detail::kMagnitude;
        maxima.all = Larger()(maxima.all, magnitude);
        maxima.numbers = Larger()(maxima.numbers, magnitude > detail::kInfinity ? 0u : magnitude);
      }
    }
  }
  maxima = over_block(maxima, scratch);
  if (threadIdx.x == 0) {
    atomicMax(&largest->all, maxima.all);
    atomicMax(&largest->numbers, maxima.numbers);
  }
}

__device__ bool is_negative(float x) { return (bits_of(x) & 0x80000000u) != 0; }
__device__ bool is_negative(BFloat16 x) { return (x.bits & 0x8000u) != 0; }
__device__ bool is_negative(Float16 x) { return (x.bits & 0x8000u) != 0; }

/// Divides by one number: a product with the reciprocal and a correction by the remainder [Markstein 1990], where neither leaves the range of float32. Rounded
/// as division is, but for quotients so near the middle between two float32 (2^-23 of their distance) that the next one may be taken.
struct Divisor {
  float scale, reciprocal;
  bool is_plain;
  __device__ explicit Divisor(float scale) : scale(scale), reciprocal(1.0f / scale), is_plain(scale > 0x1p-60f && scale < 0x1p60f) {}
  /// `plain`: is_plain, which a kernel asks once.
  template <bool plain>
  __device__ float under(float x) const {
    if (!plain) return x / scale;
    const float quotient = x * reciprocal;
    return copysignf(fmaf(fmaf(-quotient, scale, x), reciprocal, quotient), x);  // -0 has a remainder of 0
  }
};

template <class Format>
inline constexpr bool kIsHardware = std::is_same_v<Format, E4M3> || std::is_same_v<Format, E5M2>;

#ifndef HALO_CUDA_EMULATED
/// Codes of two numbers, the first in the low byte. The sign of a NaN is lost.
template <class Format>
__device__ uint32_t encode_pair(float first, float second) {
  uint16_t pair;
  if constexpr (std::is_same_v<Format, E4M3>) {
    asm("cvt.rn.satfinite.e4m3x2.f32 %0, %1, %2;" : "=h"(pair) : "f"(second), "f"(first));
  } else {
    asm("cvt.rn.satfinite.e5m2x2.f32 %0, %1, %2;" : "=h"(pair) : "f"(second), "f"(first));
  }
  return pair;
}
#endif

/// The sign bit of a code of x: quotients have the sign of x, and so has the NaN of one.
template <class T>
__device__ uint32_t sign_of(T x) {
  return is_negative(x) ? 0x80u : 0u;
}

/// Format::encode of x / scale, with the sign of x where that is a NaN: neither the division nor the conversion of a float16 keeps it.
template <class Format, bool plain, class T>
__device__ uint8_t encode(T x, const Divisor& scale) {
  const float quotient = scale.under<plain>(to_float(x));
#ifndef HALO_CUDA_EMULATED
  if constexpr (kIsHardware<Format>) return static_cast<uint8_t>(encode_pair<Format>(quotient, 0.0f) | sign_of(x));
#endif
  if constexpr (!std::is_same_v<Format, Int8>) {
    if (quotient != quotient) return is_negative(x) ? 0xFF : 0x7F;
  }
  return Format::encode(quotient);
}

/// The codes of four numbers as the bytes of a word, the first in the lowest.
template <class Format, bool plain, class T>
__device__ uint32_t encode_four(T a, T b, T c, T d, const Divisor& scale) {
#ifndef HALO_CUDA_EMULATED
  if constexpr (kIsHardware<Format>) {
    const uint32_t low = encode_pair<Format>(scale.under<plain>(to_float(a)), scale.under<plain>(to_float(b)));
    const uint32_t high = encode_pair<Format>(scale.under<plain>(to_float(c)), scale.under<plain>(to_float(d)));
    return low | high << 16 | sign_of(a) | sign_of(b) << 8 | sign_of(c) << 16 | sign_of(d) << 24;
  }
#endif
  return static_cast<uint32_t>(encode<Format, plain>(a, scale)) | static_cast<uint32_t>(encode<Format, plain>(b, scale)) << 8 |
         static_cast<uint32_t>(encode<Format, plain>(c, scale)) << 16 | static_cast<uint32_t>(encode<Format, plain>(d, scale)) << 24;
}

/// Byte `row` of each of four words.
__device__ uint32_t bytes_of(int row, uint32_t a, uint32_t b, uint32_t c, uint32_t d) {
  const auto choice = static_cast<uint32_t>(row | (4 + row) << 4);
  return __byte_perm(__byte_perm(a, b, choice), __byte_perm(c, d, choice), 0x5410);
}

/// What the scale hangs on: a maximum that was given, or what absolute_max_kernel found.
struct Maximum {
  const float* given;
  Magnitudes* found;
};

template <class Format>
__device__ float scale_of(const Maximum& maximum) {
  const float absmax =
      maximum.given != nullptr ? *maximum.given : std::bit_cast<float>(std::is_same_v<Format, Int8> ? maximum.found->all : maximum.found->numbers);
  const float exact = absmax / Format::kQMax;
  return exact < std::numeric_limits<float>::min() ? 1.0f : exact;
}

/// Encodes 16 bytes a thread and step, from the end of x to its beginning: its end is what the producer of x, or the search for its maximum, has left in the
/// cache. Reads x once, writes a byte for each; bound by memory.
template <class Format, class T>
__global__ void __launch_bounds__(kThreads) encode_kernel(const T* x, uint8_t* codes, float* scale, int64_t count, Maximum maximum, bool is_packed) {
  constexpr int kWidth = cuda::kRowWidth<T>;
  const Divisor used(scale_of<Format>(maximum));
  if (blockIdx.x == 0 && threadIdx.x == 0) *scale = used.scale;
  const int64_t last = (count + kWidth - 1) / kWidth - 1;  // pack
  for (int64_t at = (last - static_cast<int64_t>(blockIdx.x) * kThreads - threadIdx.x) * kWidth; at >= 0;
       at -= static_cast<int64_t>(gridDim.x) * kThreads * kWidth) {
    const int length = count - at < kWidth ? static_cast<int>(count - at) : kWidth;
    const bool is_whole = is_packed && length == kWidth;
    T values[kWidth];
    uint8_t results[kWidth];
    cuda::load_pack<kWidth>(x, at, 1, is_whole, length, values);
#pragma unroll
    for (int i = 0; i < kWidth; ++i) {
      results[i] = i >= length ? uint8_t{0} : used.is_plain ? encode<Format, true>(values[i], used) : encode<Format, false>(values[i], used);
    }
    cuda::store_pack<kWidth>(codes + at, is_whole, length, results);
  }
}

/// A tile of encode_both_kernel, of which a thread has `values`.
template <class Format, bool plain, class T>
__device__ void encode_tile(const cuda::Words<T, kTileWidth> (&values)[2][kTileRows], const Divisor& scale, uint8_t* codes, uint32_t* words, int64_t row_at,
                            int64_t rows, int64_t columns, int length, bool is_whole) {
  constexpr int kGroups = kTile / kTileRows;
  const int thread = static_cast<int>(threadIdx.x), lane = thread % cuda::kWarp, warp = thread / cuda::kWarp, column = lane % 16 * kTileWidth;
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int group = warp + 8 * half + 16 * (lane / 16);
    const int64_t row = row_at + group * kTileRows;
    uint32_t of_column[kTileWidth];
#pragma unroll
    for (int i = 0; i < kTileWidth; ++i) {
      of_column[i] = encode_four<Format, plain>(values[half][0].get(i), values[half][1].get(i), values[half][2].get(i), values[half][3].get(i), scale);
    }
#pragma unroll
    for (int r = 0; r < kTileRows; ++r) {
      if (row + r >= rows || length == 0) continue;
      uint8_t* to = codes + (row + r) * columns + column;
      cuda::Pack<uint32_t, 2> eight;
#pragma unroll
      for (int i = 0; i < 2; ++i) eight.values[i] = bytes_of(r, of_column[4 * i], of_column[4 * i + 1], of_column[4 * i + 2], of_column[4 * i + 3]);
      if (is_whole) {
        *reinterpret_cast<cuda::Pack<uint32_t, 2>*>(to) = eight;
      } else {
        for (int i = 0; i < length; ++i) to[i] = static_cast<uint8_t>(of_column[i] >> (8 * r));
      }
    }
#pragma unroll
    for (int i = 0; i < kTileWidth; ++i) words[(column + i) * kGroups + (group ^ (column / kTileWidth))] = of_column[i];
  }
}

/// Codes in both orders. A block has a tile of 128 x 128; a thread has, twice, 8 columns of four successive rows, whose codes are words of a column in shared
/// memory: word (column, group of four rows) lies in slot group ^ (column / 8), so that neither writing (half a warp has 16 column groups of one row group, the
/// other half those of the row group 16 further) nor reading (a warp has the 32 row groups of one column) meets a bank twice. All that a thread reads is on its
/// way before the scale is looked at. The first blocks have the last rows, as encode_kernel begins at the end. Reads x once, writes two bytes for each element;
/// bound by memory. grid: (columns / 128, rows / 128).
template <class Format, class T>
__global__ void __launch_bounds__(kThreads)
    encode_both_kernel(const T* x, uint8_t* codes, uint8_t* turned, float* scale, int64_t rows, int64_t columns, Maximum maximum, bool is_packed) {
  constexpr int kGroups = kTile / kTileRows;
  __shared__ uint32_t words[kTile * kGroups];
  const int thread = static_cast<int>(threadIdx.x), lane = thread % cuda::kWarp, warp = thread / cuda::kWarp;
  const int64_t row_at = static_cast<int64_t>(gridDim.y - 1 - blockIdx.y) * kTile, column_at = static_cast<int64_t>(blockIdx.x) * kTile;
  const int column = lane % 16 * kTileWidth;
  const int64_t left = columns - column_at - column;
  const int length = left < kTileWidth ? (left < 0 ? 0 : static_cast<int>(left)) : kTileWidth;  // columns of the thread, 0 to kTileWidth
  const bool is_whole = is_packed && length == kTileWidth;
  cuda::Words<T, kTileWidth> values[2][kTileRows];
#pragma unroll
  for (int i = 0; i < 2 * kTileRows; ++i) {
    const int64_t row = row_at + (warp + 8 * (i / kTileRows) + 16 * (lane / 16)) * kTileRows + i % kTileRows;
    if (row < rows && length > 0) values[i / kTileRows][i % kTileRows].template load<true>(x + row * columns + column_at + column, is_whole, length);
  }
  const Divisor used(scale_of<Format>(maximum));
  if (blockIdx.x == 0 && blockIdx.y == 0 && threadIdx.x == 0) *scale = used.scale;
  if (used.is_plain) {
    encode_tile<Format, true>(values, used, codes + column_at, words, row_at, rows, columns, length, is_whole);
  } else {
    encode_tile<Format, false>(values, used, codes + column_at, words, row_at, rows, columns, length, is_whole);
  }
  __syncthreads();
  const int64_t row = row_at + lane * kTileRows;
  if (row >= rows) return;
  const bool is_aligned = is_packed && rows % kTileRows == 0;
#pragma unroll 4
  for (int i = warp; i < kTile; i += kThreads / cuda::kWarp) {
    if (column_at + i >= columns) return;
    const uint32_t word = words[i * kGroups + (lane ^ (i / kTileWidth))];
    uint8_t* to = turned + (column_at + i) * rows + row;
    if (is_aligned) {
      *reinterpret_cast<uint32_t*>(to) = word;
    } else {
      for (int r = 0; r < kTileRows && row + r < rows; ++r) to[r] = static_cast<uint8_t>(word >> (8 * r));
    }
  }
}

template <class Format>
Status run(DType type, const void* data, uint8_t* codes, uint8_t* turned, float* scale, int64_t rows, int64_t columns, Maximum maximum, cudaStream_t stream) {
  return cuda::dispatch_float(type, [&]<class T>() {
    constexpr int64_t kWidth = cuda::kRowWidth<T>;
    const auto* x = static_cast<const T*>(data);
    const int64_t count = rows * columns;
    const bool is_packed = cuda::is_aligned(x, 16) && cuda::is_aligned(codes, kWidth);
    if (maximum.given == nullptr) {
      HALO_RETURN_IF_ERROR(HALO_CUDA_STATUS(cudaMemsetAsync(maximum.found, 0, sizeof(Magnitudes), stream)));
      const auto readers = static_cast<unsigned>(std::clamp<int64_t>(count / kLeastPiece, 1, kMostBlocks));
      HALO_RETURN_IF_ERROR(cuda::launch(absolute_max_kernel<T>, readers, kThreads, 0, stream, x, count, maximum.found, is_packed));
    }
    if (turned != nullptr && count > 0) {
      const bool is_tiled = columns % kTileWidth == 0 && cuda::is_aligned(x, kTileWidth * sizeof(T)) && cuda::is_aligned(codes, kTileWidth) &&
                            cuda::is_aligned(turned, kTileRows);
      const dim3 grid(cuda::grid_for(columns, kTile), cuda::grid_for(rows, kTile));
      return cuda::launch(encode_both_kernel<Format, T>, grid, kThreads, 0, stream, x, codes, turned, scale, rows, columns, maximum, is_tiled);
    }
    const auto blocks = static_cast<unsigned>(std::clamp<int64_t>(cuda::ceil_div(count, kThreads * kWidth * 4), 1, 4096));
    return cuda::launch(encode_kernel<Format, T>, blocks, kThreads, 0, stream, x, codes, scale, count, maximum, is_packed);
  });
}

}  // namespace

int64_t quantize_workspace_cuda() { return static_cast<int64_t>(sizeof(Magnitudes)); }

Status quantize_cuda(const char* format, DType type, const void* x, const float* absmax, void* codes, void* turned, float* scale, int64_t rows, int64_t columns,
                     void* workspace, cudaStream_t stream) {
  return dispatch_format(format, [&]<class Format>() {
    return run<Format>(type, x, static_cast<uint8_t*>(codes), static_cast<uint8_t*>(turned), scale, rows, columns,
                       {absmax, static_cast<Magnitudes*>(workspace)}, stream);
  });
}

}  // namespace halo
