// Elements dropped at random, by a generator without state. [Srivastava et al. 2014]
#pragma once

#include <cstdint>

#include "common/executor.h"
#include "common/philox.h"

#ifdef HALO_CUDA
#include "provider/kernels/tensor.h"
#endif

namespace halo {

/// What happens to an element whose word is known.
struct DropoutRule {
  uint32_t threshold;  // words below it drop their element
  float kept;          // 1 - ratio, which the others are divided by

  /// ratio: from 0 below 1, of which 2^32 ratio is exact in float64 and below 2^32.
  explicit DropoutRule(float ratio) : threshold(static_cast<uint32_t>(static_cast<double>(ratio) * 0x1p32)), kept(1.0f - ratio) {}

  template <class T>
  HALO_HD T operator()(T x, uint32_t word) const {
    return from_float<T>(word < threshold ? 0.0f : to_float(x) / kept);
  }
};

/// y[i] = x[i] scaled, or 0, by word i of (seed, step, stream); y may be x. Reads and writes each element once; ten rounds of two multiplications for four
/// elements, which a CPU spends more time on than on memory.
template <class T>
void dropout_cpu(const T* x, T* y, int64_t count, const PhiloxStream& random, const DropoutRule& rule, const Executor& executor);

#ifdef HALO_CUDA
/// The same bits, with 16-byte accesses; seed and step lie on the device. Bound by memory.
Status dropout_cuda(DType type, const void* x, void* y, int64_t count, const int64_t* seed, const int64_t* step, uint32_t stream_number,
                    const DropoutRule& rule, cudaStream_t stream);
#endif

}  // namespace halo
