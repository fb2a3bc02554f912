#include "provider/pinned_memory.h"

#include <cuda_runtime_api.h>

#include <cstring>

#include "provider/errors.h"

namespace halo::cuda {

Status pin(int64_t bytes, void** memory) {
  const auto size = static_cast<size_t>(bytes > 0 ? bytes : 1);
  const cudaError_t error = cudaMallocHost(memory, size);
  HALO_REQUIRE(error == cudaSuccess, bytes << " bytes of page-locked host memory", text_of(error), "Free memory of the host, or leave offload out.");
  std::memset(*memory, 0, size);
  return {};
}

void unpin(void* memory) { cudaFreeHost(memory); }

}  // namespace halo::cuda
