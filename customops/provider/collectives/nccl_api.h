// The part of NCCL that is used, by its binary interface: the library is opened at first use, and its header is not needed.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>

namespace halo::cuda::nccl {

struct ncclComm;
using Comm = ncclComm*;

/// What rank 0 makes and gives to all.
struct UniqueId {
  char bytes[128];
};

constexpr int kSuccess = 0, kInProgress = 7, kInt8 = 0;

struct Api {
  int (*get_version)(int*);
  int (*get_unique_id)(UniqueId*);
  int (*comm_init_rank)(Comm*, int, UniqueId, int);
  int (*comm_destroy)(Comm);
  int (*comm_abort)(Comm);
  int (*comm_get_async_error)(Comm, int*);
  const char* (*get_error_string)(int);
  int (*group_start)();
  int (*group_end)();
  int (*send)(const void*, size_t, int, int, Comm, cudaStream_t);
  int (*recv)(void*, size_t, int, int, Comm, cudaStream_t);
};

}  // namespace halo::cuda::nccl
