#include "provider/kernels/packed_product.h"

#include <algorithm>

#include "provider/kernels/few_rows.cuh"

namespace halo::cuda {

namespace {

/// Neighbouring columns of Y that a warp sums together, so that each load of A serves them all.
constexpr int kColumns = 4;

/// Bytes of codes that a lane loads of a column at once.
constexpr int kUnitBytes = 16;

constexpr int kThreads = 256, kWarps = kThreads / kWarp, kBlocksOfProcessor = 2;

/// Where element k of a row of A lies in shared memory, in floats: four more for each 32, so that the lanes of a warp, 16 or more elements apart, read
/// different banks.
HALO_HD constexpr int64_t place_of(int64_t k) { return k + k / 32 * 4; }

int64_t pitch_of(const PackedWeights& w) { return (place_of(w.blocks() * w.block) + 3) / 4 * 4; }

int64_t shared_bytes(int64_t rows, const PackedWeights& w) { return rows * (pitch_of(w) + kWarps * kColumns) * static_cast<int64_t>(sizeof(float)); }

/// 2^23, whose float32 has codes as its low bits, so that no conversion is needed.
constexpr float kCodeBase = 8388608.0f;

/// Code `byte` of the four that a word has in its bytes, more than itself by kCodeBase.
__device__ float number_of_byte(uint32_t word, int byte) {
  return std::bit_cast<float>(__byte_perm(word, std::bit_cast<uint32_t>(kCodeBase), 0x7440u | static_cast<uint32_t>(byte)));
}

template <class T>
struct Packed {
  const uint8_t* codes;
  const T* scales;
  const uint8_t* packed_zeros;  // or null
  const T* zeros;               // or null
  PackedWeights w;
  int64_t blocks, units, units_of_block;  // of a row of W; of kUnitBytes each

  template <int bits>
  __device__ float zero(int64_t n, int64_t block) const {
    if (zeros != nullptr) return to_float(zeros[n * blocks + block]);
    if (packed_zeros == nullptr) return static_cast<float>(1 << (bits - 1));
    const int64_t bit = block * bits, row_bytes = (blocks * bits + 7) / 8;
    return static_cast<float>((packed_zeros[n * row_bytes + bit / 8] >> (bit % 8)) & ((1 << bits) - 1));
  }
};

/// A unit of codes of each column of a group.
struct Units {
  Pack<uint32_t, 4> codes[kColumns];
  float scales[kColumns] = {}, zeros[kColumns] = {};
};

template <class T, int bits>
__device__ void load(Units* units, const Packed<T>& p, int64_t group, int64_t unit) {
  if (group * kColumns >= p.w.n || unit >= p.units) return;
  const int64_t block = unit / p.units_of_block;
#pragma unroll
  for (int c = 0; c < kColumns; ++c) {
    const int64_t n = group * kColumns + c < p.w.n ? group * kColumns + c : group * kColumns;  // a column too many has the sums of another, which no one stores
    units->codes[c] = reinterpret_cast<const Pack<uint32_t, 4>*>(p.codes)[n * p.units + unit];
    units->scales[c] = to_float(p.scales[n * p.blocks + block]);
    units->zeros[c] = p.template zero<bits>(n, block);
  }
}

/// Adds what a unit of each column gives with the elements of A that begin at element `first`.
template <int bits, int rows>
__device__ void add_unit(float (&sums)[kColumns][rows], const Units& units, const float* inputs, int64_t pitch, int64_t first, bool has_fractions) {
  constexpr int kPerWord = 32 / bits, kFields = 8 / bits;
  constexpr uint32_t kMask = 0x01010101u * ((1u << bits) - 1);
  float bases[kColumns], parts[kColumns][rows] = {};
#pragma unroll
  for (int c = 0; c < kColumns; ++c) bases[c] = kCodeBase + units.zeros[c];
#pragma unroll
  for (int word = 0; word < 4; ++word) {
    uint32_t fields[kColumns][kFields];  // of each byte, by its bits
#pragma unroll
    for (int c = 0; c < kColumns; ++c) {
#pragma unroll
      for (int f = 0; f < kFields; ++f) fields[c][f] = (units.codes[c].values[word] >> (f * bits)) & kMask;
    }
#pragma unroll
    for (int quad = 0; quad < kPerWord; quad += 4) {
      Pack<float, 4> x[rows];
#pragma unroll
      for (int r = 0; r < rows; ++r) x[r] = *reinterpret_cast<const Pack<float, 4>*>(inputs + r * pitch + place_of(first + word * kPerWord + quad));
#pragma unroll
      for (int c = 0; c < kColumns; ++c) {
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          const float weight = number_of_byte(fields[c][(quad + i) % kFields], (quad + i) / kFields) - bases[c];
#pragma unroll
          for (int r = 0; r < rows; ++r) parts[c][r] += x[r].values[i] * weight;
        }
      }
    }
  }
  if (has_fractions) {  // what kCodeBase + zero rounds away, times the elements' sum
    float of_inputs[rows] = {};
    for (int i = 0; i < 4 * kPerWord; ++i) {
#pragma unroll
      for (int r = 0; r < rows; ++r) of_inputs[r] += inputs[r * pitch + place_of(first + i)];
    }
#pragma unroll
    for (int c = 0; c < kColumns; ++c) {
      const float fraction = units.zeros[c] - (bases[c] - kCodeBase);
#pragma unroll
      for (int r = 0; r < rows; ++r) parts[c][r] -= fraction * of_inputs[r];
    }
  }
#pragma unroll
  for (int c = 0; c < kColumns; ++c) {
#pragma unroll
    for (int r = 0; r < rows; ++r) sums[c][r] += units.scales[c] * parts[c][r];
  }
}

/// A lane has a unit of each column of its warp's group at a time, and the next one's loads in flight, the first of them before A lies in shared memory, where
/// it is read once a block.
template <class T, int bits, int rows>
__global__ void __launch_bounds__(kThreads, kBlocksOfProcessor)
    packed_product_kernel(const T* a, Packed<T> p, const T* bias, T* y, int64_t pitch, int group_warps) {
  constexpr int kPerUnit = kUnitBytes * 8 / bits;
  auto* inputs = dynamic_shared<float>();
  const int lane = static_cast<int>(threadIdx.x) % kWarp, warp = static_cast<int>(threadIdx.x) / kWarp, groups = kWarps / group_warps;
  const int64_t first_unit = warp % group_warps * kWarp + lane, unit_step = static_cast<int64_t>(group_warps) * kWarp;
  const int64_t group_step = static_cast<int64_t>(gridDim.x) * groups;
  Units next;
  load<T, bits>(&next, p, static_cast<int64_t>(blockIdx.x) * groups + warp / group_warps, first_unit);
  for (int r = 0; r < rows; ++r) {
    for (int64_t k = threadIdx.x; k < p.blocks * p.w.block; k += kThreads) inputs[r * pitch + place_of(k)] = k < p.w.k ? to_float(a[r * p.w.k + k]) : 0.0f;
  }
  __syncthreads();
  for (int64_t first_group = static_cast<int64_t>(blockIdx.x) * groups; first_group * kColumns < p.w.n; first_group += group_step) {
    const int64_t group = first_group + warp / group_warps, end = group * kColumns < p.w.n ? p.units : 0;
    float sums[kColumns][rows] = {};
    for (int64_t unit = first_unit; unit < end; unit += unit_step) {
      const Units units = next;
      const bool is_last = unit + unit_step >= p.units;
      load<T, bits>(&next, p, is_last ? group + group_step : group, is_last ? first_unit : unit + unit_step);
      add_unit<bits, rows>(sums, units, inputs, pitch, unit * kPerUnit, p.zeros != nullptr);
    }
    sum_of_groups(sums, inputs + rows * pitch, group_warps, [&](int of_block, int c, int r, float sum) {
      const int64_t n = (first_group + of_block) * kColumns + c;
      if (n < p.w.n) y[r * p.w.n + n] = from_float<T>(bias == nullptr ? sum : sum + to_float(bias[n]));
    });
  }
}

template <class T, int bits, int rows>
Status start(const void* a, const Packed<T>& p, const void* bias, void* y, cudaStream_t stream) {
  const int64_t bytes = shared_bytes(rows, p.w);
  HALO_CUDA_RETURN_IF_ERROR(cudaFuncSetAttribute(packed_product_kernel<T, bits, rows>, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(bytes)));
  const int group_warps = warps_of_group(ceil_div(p.units, kWarp), kWarps);
  const int64_t blocks = std::min<int64_t>(ceil_div(p.w.n, kColumns * (kWarps / group_warps)), int64_t{kBlocksOfProcessor} * multiprocessors());
  return launch(packed_product_kernel<T, bits, rows>, static_cast<unsigned>(blocks), kThreads, static_cast<size_t>(bytes), stream, static_cast<const T*>(a), p,
                static_cast<const T*>(bias), static_cast<T*>(y), pitch_of(p.w), group_warps);
}

template <class T, int bits>
Status start(int64_t rows, const void* a, const Packed<T>& p, const void* bias, void* y, cudaStream_t stream) {
  switch (rows) {
    case 1:
      return start<T, bits, 1>(a, p, bias, y, stream);
    case 2:
      return start<T, bits, 2>(a, p, bias, y, stream);
    case 3:
      return start<T, bits, 3>(a, p, bias, y, stream);
    default:
      return start<T, bits, 4>(a, p, bias, y, stream);
  }
}

}  // namespace

bool packed_product_supports(int64_t rows, const uint8_t* codes, const PackedWeights& w) {
  return rows >= 1 && rows <= kMostPackedRows && w.block * w.bits / 8 % kUnitBytes == 0 && is_aligned(codes, kUnitBytes) &&
         shared_bytes(rows, w) <= most_shared_bytes();
}

Status packed_product(DType type, const void* a, int64_t rows, const uint8_t* codes, const void* scales, DType zero_type, const void* zeros, const void* bias,
                      void* y, const PackedWeights& w, cudaStream_t stream) {
  HALO_REQUIRE(w.bits == 2 || w.bits == 4 || w.bits == 8, "weights of 2, 4 or 8 bits", w.bits, "Check bits.");
  HALO_REQUIRE(packed_product_supports(rows, codes, w), "1 to " << kMostPackedRows << " rows, blocks of 16 bytes", rows << " rows, " << w.block << " weights",
               "Unpack the weights.");
  const int64_t unit_of_block = w.block * w.bits / 8 / kUnitBytes;
  const bool is_packed = zero_type == DType::kUInt8;
  return dispatch_float(type, [&]<class T>() -> Status {
    const Packed<T> p{.codes = codes,
                      .scales = static_cast<const T*>(scales),
                      .packed_zeros = is_packed ? static_cast<const uint8_t*>(zeros) : nullptr,
                      .zeros = is_packed ? nullptr : static_cast<const T*>(zeros),
                      .w = w,
                      .blocks = w.blocks(),
                      .units = w.blocks() * unit_of_block,
                      .units_of_block = unit_of_block};
    if (w.bits == 2) return start<T, 2>(rows, a, p, bias, y, stream);
    return w.bits == 4 ? start<T, 4>(rows, a, p, bias, y, stream) : start<T, 8>(rows, a, p, bias, y, stream);
  });
}

}  // namespace halo::cuda
