// What attention uses of cuDNN's graph interface, by the numbers of its stable binary interface: the library is opened at run time and its header need not be
// there. [cuDNN 9, cudnn_graph.h]
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>

namespace halo::cuda::cudnn {

enum DataType : int { kFloat = 0, kHalf = 2, kInt32 = 4, kBFloat16 = 9, kBoolean = 11 };

enum DescriptorType : int {
  kPointwise = 0,
  kEngineConfig = 3,
  kEngineHeuristic = 4,
  kExecutionPlan = 5,
  kOperationPointwise = 13,
  kOperationGraph = 15,
  kVariantPack = 16,
  kTensor = 17,
  kMatMul = 18,
  kOperationMatMul = 19,
  kReduction = 21,
  kOperationReduction = 22,
  kOperationReshape = 31
};

/// Of the elements of an attribute.
enum ElementType : int {
  kOfHandle = 0,
  kOfDataType = 1,
  kOfBoolean = 2,
  kOfInt64 = 3,
  kOfFloat = 4,
  kOfPointer = 6,
  kOfHeuristicMode = 8,
  kOfPointwiseMode = 14,
  kOfDescriptor = 15,
  kOfReductionOperator = 18
};

enum Attribute : int {
  kPointwiseMode = 0,
  kPointwisePrecision = 1,
  kPointwiseAxis = 9,
  kHeuristicMode = 200,
  kHeuristicGraph = 201,
  kHeuristicResults = 202,
  kPlanHandle = 400,
  kPlanConfig = 401,
  kPlanWorkspaceBytes = 402,
  kOperationPointwiseDescriptor = 750,
  kOperationPointwiseX = 751,
  kOperationPointwiseB = 752,
  kOperationPointwiseY = 753,
  kOperationPointwiseAlpha1 = 754,
  kOperationPointwiseAlpha2 = 755,
  kOperationPointwiseT = 758,
  kGraphHandle = 800,
  kGraphOperations = 801,
  kTensorAlignment = 900,
  kTensorType = 901,
  kTensorSizes = 902,
  kTensorStrides = 903,
  kTensorId = 906,
  kTensorIsVirtual = 907,
  kTensorIsByValue = 908,
  kPackIds = 1000,
  kPackPointers = 1001,
  kPackWorkspace = 1003,
  kMatMulPrecision = 1500,
  kOperationMatMulA = 1520,
  kOperationMatMulB = 1521,
  kOperationMatMulC = 1522,
  kOperationMatMulDescriptor = 1523,
  kOperationMatMulRows = 1525,
  kOperationMatMulColumns = 1526,
  kOperationMatMulInner = 1527,
  kReductionOperator = 1600,
  kReductionPrecision = 1601,
  kOperationReductionX = 1610,
  kOperationReductionY = 1611,
  kOperationReductionDescriptor = 1612,
  kOperationReshapeX = 2200,
  kOperationReshapeY = 2201
};

enum Pointwise : int {
  kAdd = 0,
  kMul = 1,
  kDiv = 6,
  kSub = 9,
  kExp = 13,
  kLog = 15,
  kGreaterOrEqual = 303,
  kLess = 304,
  kAnd = 400,
  kIndex = 501,
  kSelect = 601
};

enum ReductionOperator : int { kSum = 0, kMax = 3 };

enum HeuristicMode : int { kModeA = 3 };

using Handle = void*;
using Object = void*;  // a descriptor

/// Functions with an int return a cudnnStatus_t, 0 where all is well.
struct Api {
  size_t (*version)();
  int (*create)(Handle*);
  int (*destroy)(Handle);
  int (*set_stream)(Handle, cudaStream_t);
  const char* (*status_text)(int);
  void (*last_error)(char* text, size_t size);
  int (*descriptor_create)(int type, Object*);
  int (*descriptor_destroy)(Object);
  int (*descriptor_set)(Object, int attribute, int element_type, int64_t count, const void* elements);
  int (*descriptor_get)(Object, int attribute, int element_type, int64_t wanted, int64_t* count, void* elements);
  int (*descriptor_finalize)(Object);
  int (*execute)(Handle, Object plan, Object pack);
};

}  // namespace halo::cuda::cudnn
