#include "provider/kernels/packed_product.h"

#include <algorithm>

#include "provider/kernels/device.cuh"

namespace halo::cuda {

namespace {

constexpr int kThreads = 256, kWarps = kThreads / kWarp;

/// Bytes of codes that a lane loads at once, and loads that it has in flight.
constexpr int kUnitBytes = 16, kUnits = 2;

/// Where element k of a row of A lies in shared memory, in floats: four more for each 32, so that the lanes of a warp, 16 or more elements apart, read
/// different banks.
HALO_HD constexpr int64_t place_of(int64_t k) { return k + k / 32 * 4; }

int64_t pitch_of(const PackedWeights& w) { return (place_of(w.blocks() * w.block) + 3) / 4 * 4; }

int64_t shared_bytes(int64_t rows, const PackedWeights& w) { return rows * pitch_of(w) * static_cast<int64_t>(sizeof(float)); }

/// A code below 2^8 as float32 without a conversion: the low bits of 2^23.
__device__ float number_of_code(uint32_t code) { return std::bit_cast<float>(0x4B000000u | code) - 8388608.0f; }

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

/// A warp has an output channel n at a time, a lane units of its codes; A lies in shared memory, read once a block.
template <class T, int bits, int rows>
__global__ void __launch_bounds__(kThreads) packed_product_kernel(const T* a, Packed<T> p, const T* bias, T* y, int64_t pitch) {
  constexpr int kPerWord = 32 / bits, kPerUnit = kUnitBytes * 8 / bits;
  auto* inputs = dynamic_shared<float>();
  for (int r = 0; r < rows; ++r) {
    for (int64_t k = threadIdx.x; k < p.blocks * p.w.block; k += kThreads) inputs[r * pitch + place_of(k)] = k < p.w.k ? to_float(a[r * p.w.k + k]) : 0.0f;
  }
  __syncthreads();
  const int lane = static_cast<int>(threadIdx.x) % kWarp, warp = static_cast<int>(threadIdx.x) / kWarp;
  for (int64_t n = static_cast<int64_t>(blockIdx.x) * kWarps + warp; n < p.w.n; n += static_cast<int64_t>(gridDim.x) * kWarps) {
    const auto* codes = reinterpret_cast<const Pack<uint32_t, 4>*>(p.codes) + n * p.units;
    float sums[rows] = {};
    for (int64_t first = lane; first < p.units; first += kWarp * kUnits) {
      Pack<uint32_t, 4> packs[kUnits];
      float scales[kUnits], zeros[kUnits];
#pragma unroll
      for (int u = 0; u < kUnits; ++u) {
        const int64_t unit = first + u * kWarp;
        if (unit >= p.units) continue;
        const int64_t block = unit / p.units_of_block;
        packs[u] = codes[unit];
        scales[u] = to_float(p.scales[n * p.blocks + block]);
        zeros[u] = p.template zero<bits>(n, block);
      }
#pragma unroll
      for (int u = 0; u < kUnits; ++u) {
        const int64_t unit = first + u * kWarp;
        if (unit >= p.units) continue;
        float parts[rows] = {};
#pragma unroll
        for (int word = 0; word < 4; ++word) {
#pragma unroll
          for (int quad = 0; quad < kPerWord; quad += 4) {
            const int64_t at = place_of(unit * kPerUnit + word * kPerWord + quad);
            float weights[4];
#pragma unroll
            for (int i = 0; i < 4; ++i) weights[i] = number_of_code((packs[u].values[word] >> ((quad + i) * bits)) & ((1u << bits) - 1)) - zeros[u];
#pragma unroll
            for (int r = 0; r < rows; ++r) {
              const auto x = *reinterpret_cast<const Pack<float, 4>*>(inputs + r * pitch + at);
#pragma unroll
              for (int i = 0; i < 4; ++i) parts[r] += x.values[i] * weights[i];
            }
          }
        }
#pragma unroll
        for (int r = 0; r < rows; ++r) sums[r] += scales[u] * parts[r];
      }
    }
#pragma unroll
    for (int r = 0; r < rows; ++r) {
      const float sum = over_warp(SumOf(), sums[r]);
      if (lane == 0) y[r * p.w.n + n] = from_float<T>(sum + (bias == nullptr ? 0.0f : to_float(bias[n])));
    }
  }
}

template <class T, int bits, int rows>
Status start(const void* a, const Packed<T>& p, const void* bias, void* y, cudaStream_t stream) {
  constexpr int kBlocksOfProcessor = 4;
  const int64_t bytes = shared_bytes(rows, p.w);
  HALO_CUDA_RETURN_IF_ERROR(cudaFuncSetAttribute(packed_product_kernel<T, bits, rows>, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(bytes)));
  const int64_t blocks = std::min<int64_t>(ceil_div(p.w.n, kWarps), int64_t{kBlocksOfProcessor} * multiprocessors());
  return launch(packed_product_kernel<T, bits, rows>, static_cast<unsigned>(blocks), kThreads, static_cast<size_t>(bytes), stream, static_cast<const T*>(a), p,
                static_cast<const T*>(bias), static_cast<T*>(y), pitch_of(p.w));
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
