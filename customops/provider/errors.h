// A CUDA error as a status in the project's form.
#pragma once

#include <cuda_runtime_api.h>

#include "common/status.h"

namespace halo::cuda {

inline Status status_of(cudaError_t error, const char* file, int line) {
  if (error == cudaSuccess) return {};
  return refuse(file, line, "a call of CUDA that succeeds", std::string(cudaGetErrorName(error)) + ": " + cudaGetErrorString(error),
                error == cudaErrorInvalidValue ? "Report the graph: a kernel was given what it does not take."
                                               : "See 'halo doctor'; HALO_CUDA_SYNC=1 waits after each node and so names the one that failed.");
}

}  // namespace halo::cuda

#define HALO_CUDA_STATUS(call) ::halo::cuda::status_of((call), __FILE__, __LINE__)
#define HALO_CUDA_RETURN_IF_ERROR(call) HALO_RETURN_IF_ERROR(HALO_CUDA_STATUS(call))
