// What every CUDA launcher takes: raw device pointers, sizes by value, the stream last. A launcher neither allocates nor waits for the device. What it does
// not take it refuses, with its limit, what was found and what to do; the limit stands at its declaration.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "common/dtype.h"
#include "common/status.h"

namespace halo::cuda {

inline constexpr int kMaxRank = 8;

/// Blocks of a grid along x, and along y and z. [CUDA C++ Programming Guide, compute capabilities]
inline constexpr int64_t kMostBlocksX = INT32_MAX, kMostBlocksYZ = 65535;

/// Sizes of a dense row-major tensor, by value so that kernels can take them. Rank 0 is a scalar.
struct Dims {
  int rank = 0;
  int64_t sizes[kMaxRank] = {};

  /// The product of the sizes of axes [first, last).
  int64_t count(int first, int last) const {
    int64_t n = 1;
    for (int axis = first; axis < last; ++axis) n *= sizes[axis];
    return n;
  }
  int64_t count() const { return count(0, rank); }
};

/// One number for each axis of a tensor: a permutation, starts, steps, repeats, pads, strides in elements.
struct PerAxis {
  int64_t values[kMaxRank] = {};
};

/// Elements that index a tensor: int32 or int64.
struct Indices {
  const void* data;
  DType type;
};

}  // namespace halo::cuda
