// What the binding of an operator includes: the operator as ONNX Runtime wants it, its row of the CUDA provider, and the macro that enters both.
#pragma once

#include "plugin/op.h"

#ifdef HALO_CUDA
#include "provider/bindings/op_row.h"
#define HALO_REGISTER_CUDA_OP(Type) ::halo::cuda::kernels().push_back(::halo::cuda::op_row<Type>())
#else
#define HALO_REGISTER_CUDA_OP(Type) static_cast<void>(0)
#endif

#define HALO_REGISTER_OP(Type)                                                     \
  static const bool registered_##Type = [] {                                       \
    ::halo::registry().push_back({&Type::schema, ::halo::Op<Type>::definition()}); \
    HALO_REGISTER_CUDA_OP(Type);                                                   \
    return true;                                                                   \
  }()
