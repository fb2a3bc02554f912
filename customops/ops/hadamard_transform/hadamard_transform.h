// Rotation of a matrix along one axis by an orthonormal block-diagonal Hadamard matrix H.
#pragma once

#include <cstdint>
#include <vector>

#include "common/executor.h"

#ifdef HALO_CUDA
#include "provider/kernels/tensor.h"
#endif

namespace halo {

/// One block of H: n = order 2^log2, order as hadamard_order gives it.
struct HadamardBlock {
  int64_t size = 1;
  int64_t order = 1;
  int log2 = 0;
};

/// X, Y: (rows, columns), row-major, Y may be X. The blocks sum to the rotated axis. A vector v along it becomes H^T v, or H v with `inverse`.
/// Reads and writes each element once; order + log2 additions an element in float32.
template <class T>
void hadamard_transform_cpu(const T* x, T* y, int64_t rows, int64_t columns, int axis, const std::vector<HadamardBlock>& blocks, bool inverse,
                            const Executor& executor);

#ifdef HALO_CUDA
/// Whether hadamard_transform_cuda takes a block of this size: those of hadamard_order whose vector fits in the memory of a multiprocessor.
bool hadamard_transform_supports_cuda(int64_t size);

/// As hadamard_transform_cpu for blocks of the sizes `blocks` (on the host), which sum to the rotated axis: sizes that
/// hadamard_transform_supports_cuda, at most 65535 in a row of one size. The signs are made from their construction in the kernel. Y may be X. `absmax`, unless
/// null, gets max |y|, NaN where an element is one.
Status hadamard_transform_cuda(DType type, const void* x, void* y, float* absmax, int64_t rows, int64_t columns, int axis, const int64_t* blocks,
                               int64_t blocks_count, bool inverse, cudaStream_t stream);
#endif

}  // namespace halo
