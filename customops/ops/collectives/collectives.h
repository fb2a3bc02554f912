// How the parts that ranks send are combined.
#pragma once

#include <cstdint>

#include "common/dispatch.h"
#include "common/dtype.h"
#include "common/status.h"

#ifdef HALO_CUDA
#include "provider/kernels/tensor.h"
#endif

namespace halo {

enum class Reduction { kSum, kMax };

using CombinedTypes = TypeList<float, BFloat16, Float16, int32_t, int64_t>;

/// y[i] = parts[0][i] + parts[1][i] + ..., or the largest of them, NaN where one is NaN; parts lie one behind the other, `count` elements each. 16-bit types
/// are combined in float32 and rounded once; integers are as they are. y may be parts[0]. Types: float, bfloat16, float16, int32, int64.
Status combine_cpu(DType type, Reduction reduction, const void* parts, int64_t parts_count, int64_t count, void* y);

#ifdef HALO_CUDA
/// As combine_cpu, the same bits.
Status combine_cuda(DType type, Reduction reduction, const void* parts, int64_t parts_count, int64_t count, void* y, cudaStream_t stream);
#endif

}  // namespace halo
