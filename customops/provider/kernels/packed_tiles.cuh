// Codes of packed weights as matrix units take them: where a lane's rows lie, what it has in flight, and pairs of codes as float16.
#pragma once

#include "provider/kernels/packed_inputs.cuh"

namespace halo::cuda {

/// Rows of W that a warp takes together, those of matrix units: a lane has unit `lane % 4` of rows lane / 4 and lane / 4 + 8.
inline constexpr int kTile = 16, kHalves = 2, kHalf = kTile / kHalves;

using Codes = Pack<uint32_t, 4>;

/// 1024 as float16: the lower bits of its fraction count ones, so that codes need no conversion.
inline constexpr uint32_t kCodeBase = 0x64006400u, kOnes = 0x00010001u;

/// Codes that are read once, which leave the caches to A and to scales.
__device__ inline Codes load_once(const Codes* from) {
#ifdef HALO_CUDA_EMULATED
  return *from;
#else
  Codes codes;
  asm volatile("ld.global.nc.L1::no_allocate.v4.u32 {%0, %1, %2, %3}, [%4];"
               : "=r"(codes.values[0]), "=r"(codes.values[1]), "=r"(codes.values[2]), "=r"(codes.values[3])
               : "l"(from));
  return codes;
#endif
}

template <class T>
struct Matrix {
  const uint8_t* codes;
  const T* scales;
  const uint8_t* zeros;
  const T* bias;
  int n, first_tile, first_column;
};

enum class Zeros { kNone, kCodes, kNumbers };

template <class T>
struct Products {
  Matrix<T> matrices[kMostMatrices];
  int count, tiles, steps, units, blocks;  // steps, units and blocks of a row
  int64_t columns, zero_bytes;             // of Y; from one row of zeros to the next
  Divider units_of_block;
  Zeros zeros;
  bool is_gated;

  __device__ int unit_of(int step, int quad_lane) const { return step * kQuad + quad_lane < units ? step * kQuad + quad_lane : units - 1; }
  __device__ int block_of(int unit) const { return static_cast<int>(units_of_block.quotient(static_cast<uint32_t>(unit))); }
  __device__ Matrix<T> matrix_of(int tile) const {
    Matrix<T> found = matrices[0];
#pragma unroll
    for (int i = 1; i < kMostMatrices; ++i) {
      if (i < count && tile >= matrices[i].first_tile) found = matrices[i];
    }
    return found;
  }
};

/// The two rows of W that a lane has of a tile: kHalf apart, or, of a gated product, one of each matrix.
template <class T>
struct Rows {
  const Codes* codes[kHalves];
  const T* scales[kHalves];
  const uint8_t* zeros[kHalves];

  __device__ Rows(const Products<T>& p, int tile, int row_of_half) {
    const int known = tile < p.tiles ? tile : p.tiles - 1;
    const Matrix<T> own = p.matrix_of(known);
#pragma unroll
    for (int h = 0; h < kHalves; ++h) {
      const Matrix<T> m = p.is_gated ? p.matrices[h] : own;
      const int wanted = p.is_gated ? known * kHalf + row_of_half : (known - m.first_tile) * kTile + h * kHalf + row_of_half;
      const int64_t n = wanted < m.n ? wanted : m.n - 1;  // a row too many has the sums of another, which no one stores
      codes[h] = reinterpret_cast<const Codes*>(m.codes) + n * p.units;
      scales[h] = m.scales + n * p.blocks;
      zeros[h] = m.zeros + n * p.zero_bytes;
    }
  }
};

/// What a lane has in flight; nothing of it is computed with before it is wanted.
template <class T>
struct Stage {
  Codes codes[kHalves];
  T scales[kHalves];
  uint32_t zeros[kHalves];  // a byte of codes, or a float's bits
};

template <class T, int bits>
__device__ __forceinline__ void load(Stage<T>* stage, const Products<T>& p, const Rows<T>& rows, int unit) {
  const int block = p.block_of(unit);
#pragma unroll
  for (int h = 0; h < kHalves; ++h) {
    stage->codes[h] = load_once(rows.codes[h] + unit);
    stage->scales[h] = rows.scales[h][block];
    if (p.zeros == Zeros::kCodes) stage->zeros[h] = rows.zeros[h][block * bits / 8];
    if (p.zeros == Zeros::kNumbers) stage->zeros[h] = std::bit_cast<uint32_t>(to_float(reinterpret_cast<const T*>(rows.zeros[h])[block]));
  }
}

/// 1024 + the whole part of a zero, twice, and the rest of it.
struct Zero {
  uint32_t base;
  float rest = 0;
};

template <int bits>
__device__ Zero zero_of(Zeros kind, uint32_t loaded, int block) {
  if (kind == Zeros::kNone) return {kCodeBase + kOnes * (1u << (bits - 1))};
  if (kind == Zeros::kCodes) return {kCodeBase + kOnes * (loaded >> (block * bits % 8) & ((1u << bits) - 1))};
  const float zero = std::bit_cast<float>(loaded), whole = rintf(fminf(fmaxf(zero, 0.0f), 255.0f));
  return {kCodeBase + kOnes * static_cast<uint32_t>(whole), zero - whole};
}

/// Two codes of a unit as float16, less their zero, exactly.
template <int bits>
__device__ uint32_t pair_of(const Codes& codes, int pair, uint32_t base) {
  constexpr int kWordPairs = CodeUnit<bits>::kWordPairs;
  const uint32_t fields = codes.values[pair / kWordPairs] >> (pair % kWordPairs * bits) & kOnes * ((1u << bits) - 1);
  return subtract_pairs(fields | kCodeBase, base);
}

}  // namespace halo::cuda
