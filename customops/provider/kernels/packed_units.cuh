// Codes of packed weights as products of few rows take them: matrices side by side, and units of codes of neighbouring columns of Y times A in shared memory.
#pragma once

#include "provider/kernels/device.cuh"
#include "provider/kernels/packed_product.h"

namespace halo::cuda {

/// Columns of Y that a warp sums together, so that each load of A serves them all. Of a gated product they are kHalf of either matrix.
inline constexpr int kColumns = 4, kHalf = kColumns / 2;

/// Where element k of a row of A lies in shared memory, in floats: four more for each 32, so that the lanes of a warp, 16 or more elements apart, read
/// different banks.
HALO_HD constexpr int64_t place_of(int64_t k) { return k + k / 32 * 4; }

using Codes = Pack<uint32_t, 4>;

/// Codes, which are read once: they leave the L1 cache to scales.
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
  int n, first_group, first_column;
};

enum class Zeros { kNone, kCodes, kNumbers };

template <class T>
struct Products {
  Matrix<T> matrices[kMostMatrices];
  int count, groups, units, blocks;  // units and blocks of a row of W
  int64_t columns, zero_bytes;       // of Y; from one row of zeros to the next
  Divider units_of_block;
  Zeros zeros;
  bool is_gated;

  __device__ Matrix<T> matrix_of(int group) const {
    Matrix<T> found = matrices[0];
#pragma unroll
    for (int i = 1; i < kMostMatrices; ++i) {
      if (i < count && group >= matrices[i].first_group) found = matrices[i];
    }
    return found;
  }
};

/// The rows of W that give a group's columns.
template <class T>
struct Group {
  const Codes* codes[kColumns];
  const T* scales[kColumns];
  const uint8_t* zeros[kColumns];

  __device__ Group(const Products<T>& p, int group) {
    const Matrix<T> own = p.matrix_of(group);
#pragma unroll
    for (int c = 0; c < kColumns; ++c) {
      const Matrix<T> m = p.is_gated ? p.matrices[c / kHalf] : own;
      const int wanted = p.is_gated ? group * kHalf + c % kHalf : (group - m.first_group) * kColumns + c;
      const int64_t n = wanted < m.n ? wanted : m.n - 1;  // a column too many has the sums of another, which no one stores
      codes[c] = reinterpret_cast<const Codes*>(m.codes) + n * p.units;
      scales[c] = m.scales + n * p.blocks;
      zeros[c] = m.zeros + n * p.zero_bytes;
    }
  }
};

/// A unit of codes of each column of a group, as loaded: nothing of it is computed with before it is wanted.
template <class T>
struct Units {
  Codes codes[kColumns];
  T scales[kColumns];
  uint32_t zeros[kColumns];  // a byte of codes, or a float's bits
};

template <class T, int bits>
__device__ __forceinline__ void load(Units<T>* units, const Products<T>& p, const Group<T>& group, int unit) {
  const auto block = static_cast<int>(p.units_of_block.quotient(static_cast<uint32_t>(unit)));
#pragma unroll
  for (int c = 0; c < kColumns; ++c) {
    units->codes[c] = load_once(group.codes[c] + unit);
    units->scales[c] = group.scales[c][block];
    if (p.zeros == Zeros::kCodes) units->zeros[c] = group.zeros[c][block * bits / 8];
    if (p.zeros == Zeros::kNumbers) units->zeros[c] = std::bit_cast<uint32_t>(to_float(reinterpret_cast<const T*>(group.zeros[c])[block]));
  }
}

/// 2^23, whose float32 has codes as its low bits, so that no conversion is needed.
inline constexpr float kCodeBase = 8388608.0f;

/// Code `byte` of the four that a word has in its bytes, more than itself by kCodeBase.
__device__ inline float number_of_byte(uint32_t word, int byte) {
  return std::bit_cast<float>(__byte_perm(word, std::bit_cast<uint32_t>(kCodeBase), 0x7440u | static_cast<uint32_t>(byte)));
}

template <int bits>
__device__ float zero_of(Zeros kind, uint32_t loaded, int block) {
  if (kind == Zeros::kNone) return static_cast<float>(1 << (bits - 1));
  return kind == Zeros::kNumbers ? std::bit_cast<float>(loaded) : static_cast<float>(loaded >> (block * bits % 8) & ((1u << bits) - 1));
}

/// Adds what a unit of each column gives with A, `inputs` in shared memory, rows `pitch` floats apart.
template <class T, int bits, int rows>
__device__ __forceinline__ void add_units(float (&sums)[kColumns][rows], const Units<T>& units, const Products<T>& p, int unit, const float* inputs,
                                          int pitch) {
  constexpr int kPerWord = 32 / bits, kFields = 8 / bits, kPerUnit = 4 * kPerWord;
  constexpr uint32_t kMask = 0x01010101u * ((1u << bits) - 1);
  const auto block = static_cast<int>(p.units_of_block.quotient(static_cast<uint32_t>(unit)));
  const int first = unit * kPerUnit;
  float zeros[kColumns], bases[kColumns], parts[kColumns][rows] = {};
#pragma unroll
  for (int c = 0; c < kColumns; ++c) {
    zeros[c] = zero_of<bits>(p.zeros, units.zeros[c], block);
    bases[c] = kCodeBase + zeros[c];
  }
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
  if (p.zeros == Zeros::kNumbers) {  // what kCodeBase + zero rounds away, times the elements' sum
    float of_inputs[rows] = {};
    for (int i = 0; i < kPerUnit; ++i) {
#pragma unroll
      for (int r = 0; r < rows; ++r) of_inputs[r] += inputs[r * pitch + place_of(first + i)];
    }
#pragma unroll
    for (int c = 0; c < kColumns; ++c) {
      const float fraction = zeros[c] - (bases[c] - kCodeBase);
#pragma unroll
      for (int r = 0; r < rows; ++r) parts[c][r] -= fraction * of_inputs[r];
    }
  }
#pragma unroll
  for (int c = 0; c < kColumns; ++c) {
#pragma unroll
    for (int r = 0; r < rows; ++r) sums[c][r] += to_float(units.scales[c]) * parts[c][r];
  }
}

}  // namespace halo::cuda
