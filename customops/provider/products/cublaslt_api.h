// What products use of cuBLASLt, by the numbers of its stable binary interface: the library is opened at run time and its header need not be there.
// [cuBLAS 12 and 13, cublasLt.h]
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>

namespace halo::cuda::lt {

enum DataType : int { kR32F = 0, kR64F = 1, kR16F = 2, kR8I = 3, kR32I = 10, kR16BF = 14, kR8FE4M3 = 28, kR8FE5M2 = 29 };

enum ComputeType : int { kCompute32F = 68, kCompute64F = 70, kCompute32I = 72 };

enum Operation : int { kAsIs = 0, kTransposed = 1 };

enum DescriptorAttribute : int { kTransA = 3, kTransB = 4, kMultiprocessors = 15, kScalePointerA = 17, kScalePointerB = 18, kFastAccumulation = 25 };

enum LayoutAttribute : int { kBatchCount = 5, kBatchStride = 6 };

enum PreferenceAttribute : int { kMaxWorkspaceBytes = 1, kMinAlignmentA = 5, kMinAlignmentB = 6, kMinAlignmentC = 7, kMinAlignmentD = 8 };

struct Algorithm {
  uint64_t data[8];
};

struct HeuristicResult {
  Algorithm algorithm;
  size_t workspace_bytes;
  int state;
  float waves;
  int reserved[4];
};

using Handle = void*;
using Object = void*;  // a descriptor, layout or preference

/// Functions return a cublasStatus_t, 0 where all is well.
struct Api {
  int (*create)(Handle*);
  int (*destroy)(Handle);
  size_t (*version)();
  const char* (*status_name)(int);
  int (*descriptor_create)(Object*, int compute_type, int scale_type);
  int (*descriptor_set)(Object, int attribute, const void*, size_t);
  int (*descriptor_destroy)(Object);
  int (*layout_create)(Object*, int type, uint64_t rows, uint64_t columns, int64_t leading);
  int (*layout_set)(Object, int attribute, const void*, size_t);
  int (*layout_destroy)(Object);
  int (*preference_create)(Object*);
  int (*preference_set)(Object, int attribute, const void*, size_t);
  int (*preference_destroy)(Object);
  int (*heuristic)(Handle, Object descriptor, Object a, Object b, Object c, Object d, Object preference, int wanted, HeuristicResult*, int* found);
  int (*multiply)(Handle, Object descriptor, const void* alpha, const void* a, Object a_layout, const void* b, Object b_layout, const void* beta, const void* c,
                  Object c_layout, void* d, Object d_layout, const Algorithm*, void* workspace, size_t workspace_bytes, cudaStream_t);
};

}  // namespace halo::cuda::lt
