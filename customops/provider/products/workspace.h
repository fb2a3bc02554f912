// What products take besides their operands; apart from lt_products.h, whose CUDA headers not every reader has.
#pragma once

#include <cstdint>

namespace halo::cuda {

/// Bytes of workspace that LtProducts::multiply() wants. The runner counts them into what a graph needs (GpuProblems.cs).
inline constexpr int64_t kProductWorkspaceBytes = int64_t{32} << 20;

}  // namespace halo::cuda
