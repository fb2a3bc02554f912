// What the binding of an operator includes: the operator as ONNX Runtime wants it, its row of HaloCuda, itself for ONNX Runtime's own CUDA provider, and the
// macro that enters all.
#pragma once

#include "plugin/op.h"

#ifdef HALO_CUDA
#include "provider/bindings/cuda_provider_op.h"
#define HALO_REGISTER_CUDA_OP(Type) ::halo::cuda::kernels().push_back(::halo::cuda::op_row<Type>())
#define HALO_CUDA_PROVIDER_OP(Type) ::halo::cuda::CudaProviderOp<Type>::definition()
#else
#define HALO_REGISTER_CUDA_OP(Type) static_cast<void>(0)
#define HALO_CUDA_PROVIDER_OP(Type) nullptr
#endif

#define HALO_REGISTER_OP(Type)                                                                                  \
  static const bool registered_##Type = [] {                                                                    \
    ::halo::registry().push_back({&Type::schema, ::halo::Op<Type>::definition(), HALO_CUDA_PROVIDER_OP(Type)}); \
    HALO_REGISTER_CUDA_OP(Type);                                                                                \
    return true;                                                                                                \
  }()
