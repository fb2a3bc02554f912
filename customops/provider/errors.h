// A CUDA error as a status in the project's form.
#pragma once

#include <cuda_runtime_api.h>

#include "common/status.h"

namespace halo::cuda {

/// What to do about an error of CUDA's runtime.
inline const char* advice_on(cudaError_t error) {
  switch (error) {
    case cudaErrorInvalidValue:
      return "Report the graph: a kernel was given what it does not take.";
    case cudaErrorNoKernelImageForDevice:
      return "Build Halo for this GPU: HALO_CUDA_ARCHITECTURES; 'halo doctor' names both.";
    default:
      return "See 'halo doctor'; HALO_CUDA_SYNC=1 waits after each node and so names the one that failed.";
  }
}

inline std::string text_of(cudaError_t error) { return std::string(cudaGetErrorName(error)) + ": " + cudaGetErrorString(error); }

inline Status status_of(cudaError_t error, const char* file, int line) {
  return error == cudaSuccess ? Status() : refuse(file, line, "a call of CUDA that succeeds", text_of(error), advice_on(error));
}

}  // namespace halo::cuda

// Of calls of CUDA's runtime. Launchers return a status themselves.
#define HALO_CUDA_STATUS(call) ::halo::cuda::status_of((call), __FILE__, __LINE__)
#define HALO_CUDA_RETURN_IF_ERROR(call) HALO_RETURN_IF_ERROR(HALO_CUDA_STATUS(call))
