// Products of one matrix with several weights that are held in 2, 4 or 8 bits.
#pragma once

#include <array>
#include <cstdint>

#include "common/dtype.h"
#include "common/executor.h"
#include "common/status.h"

#ifdef HALO_CUDA
#include "provider/kernels/tensor.h"
#endif

namespace halo {

inline constexpr int kMostFactors = 3;

/// W (n, k): codes (n, blocks, block bits / 8) with the first code in the low bits, scales (n, blocks) and bias (n) of the type of A, zeros (n, blocks bits / 8
/// rounded up). zeros null: 2^(bits - 1) each; bias null: none.
struct PackedFactor {
  const uint8_t* codes = nullptr;
  const void* scales = nullptr;
  const uint8_t* zeros = nullptr;
  const void* bias = nullptr;
  int64_t n = 0;
};

/// Factors coded alike, all with zeros or none; `is_gated`: two of one n.
struct PackedFactors {
  std::array<PackedFactor, kMostFactors> all;
  int count = 0;
  int64_t k = 0, block = 0, bits = 0;
  bool is_gated = false;

  int64_t blocks() const { return (k + block - 1) / block; }
  int64_t zero_bytes() const { return (blocks() * bits + 7) / 8; }
  /// Columns of Y.
  int64_t columns() const { return is_gated ? all[0].n : all[0].n + all[1].n + all[2].n; }
};

/// y (rows, columns) = [a w0^T + bias0 | a w1^T + bias1 | ..], or silu(a w0^T + bias0) (a w1^T + bias1); w = (code - zero) * scale; in float32. Decodes each
/// weight once a row.
template <class T>
void packed_products_cpu(const T* a, int64_t rows, const PackedFactors& factors, T* y, const Executor& executor);

#ifdef HALO_CUDA
namespace cuda {
class LtProducts;
}

/// Bytes of workspace for packed_products_cuda.
int64_t packed_products_workspace_cuda(DType type, int64_t rows, const PackedFactors& factors);

/// As packed_products_cpu. Of few rows each code is read once and nothing else moved; of more, weights are written out in `type`, a factor at a time, and
/// products of factors are rounded to it before they are gated.
Status packed_products_cuda(cuda::LtProducts& products, DType type, const void* a, int64_t rows, const PackedFactors& factors, void* y, void* workspace,
                            int64_t workspace_bytes, cudaStream_t stream);
#endif

}  // namespace halo
