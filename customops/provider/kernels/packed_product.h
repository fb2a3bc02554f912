// Products of few rows with packed weights: what decoding does, bound by the codes it reads.
#pragma once

#include "provider/kernels/dequantize.h"

namespace halo::cuda {

/// Rows of A that one pass over the codes serves.
inline constexpr int64_t kMostPackedRows = 4;

/// Matrices that one A is multiplied by at once: query, key and value.
inline constexpr int kMostMatrices = 3;

/// Bytes of codes that a lane loads at once.
inline constexpr int kUnitBytes = 16;

/// W (N, K) as unpack_weights reads it; zeros and bias (N) are null where there are none.
struct PackedMatrix {
  const uint8_t* codes = nullptr;
  const void* scales = nullptr;
  const void* zeros = nullptr;
  const void* bias = nullptr;
  int64_t n = 0;
};

/// Up to kMostMatrices of one K, coded alike. `is_gated`: two of one N, of which the product is silu(A W0^T) (A W1^T).
struct PackedMatrices {
  PackedMatrix matrices[kMostMatrices];
  int count = 1;
  DType zero_type = DType::kUndefined;  // of all: kUInt8 for packed codes, the type of A for numbers
  int64_t k = 0, block = 0, bits = 0;
  bool is_gated = false;

  PackedWeights weights(int i) const { return {.n = matrices[i].n, .k = k, .block = block, .bits = bits}; }
  /// Columns of Y.
  int64_t columns() const {
    int64_t all = 0;
    for (int i = 0; i < (is_gated ? 1 : count); ++i) all += matrices[i].n;
    return all;
  }
};

/// Whether packed_products takes them: at most kMostPackedRows rows that fit in shared memory, blocks of whole 16 bytes, codes at a multiple of 16 bytes.
bool packed_products_support(int64_t rows, const PackedMatrices& w);

/// y (M, columns) = a (M, K) [w0^T | w1^T | ..] + biases, or its gated form, w never written out, sums in float32. Each code is read once.
Status packed_products(DType type, const void* a, int64_t rows, const PackedMatrices& w, void* y, cudaStream_t stream);

}  // namespace halo::cuda
