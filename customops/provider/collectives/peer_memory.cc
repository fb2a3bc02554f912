#include "provider/collectives/peer_memory.h"

#include <cuda_runtime_api.h>

#include "provider/errors.h"

namespace halo::cuda {

Status PeerMemory::allocate(int64_t bytes, std::unique_ptr<PeerMemory>* made) {
  std::unique_ptr<PeerMemory> memory(new PeerMemory);
  HALO_CUDA_RETURN_IF_ERROR(cudaMalloc(reinterpret_cast<void**>(&memory->data_), static_cast<size_t>(bytes)));
  memory->bytes_ = bytes;
  memory->is_own_ = true;
  HALO_CUDA_RETURN_IF_ERROR(cudaMemset(memory->data_, 0, static_cast<size_t>(bytes)));
  HALO_CUDA_RETURN_IF_ERROR(cudaDeviceSynchronize());
  cudaIpcMemHandle_t handle;
  HALO_CUDA_RETURN_IF_ERROR(cudaIpcGetMemHandle(&handle, memory->data_));
  memory->handle_.assign(handle.reserved, sizeof handle.reserved);
  *made = std::move(memory);
  return {};
}

Status PeerMemory::open(const std::string& handle, std::unique_ptr<PeerMemory>* made) {
  std::unique_ptr<PeerMemory> memory(new PeerMemory);
  cudaIpcMemHandle_t given;
  HALO_REQUIRE(handle.size() == sizeof given.reserved, sizeof given.reserved << " bytes that name memory of another process", handle.size(),
               "Give all ranks the same version.");
  handle.copy(given.reserved, sizeof given.reserved);
  void* data = nullptr;
  const cudaError_t error = cudaIpcOpenMemHandle(&data, given, cudaIpcMemLazyEnablePeerAccess);
  HALO_REQUIRE(error == cudaSuccess, "GPUs that reach each other's memory", text_of(error), "Let NCCL carry (--rank-carrier nccl).");
  memory->data_ = static_cast<char*>(data);
  memory->handle_ = handle;
  *made = std::move(memory);
  return {};
}

PeerMemory::~PeerMemory() {
  if (data_ == nullptr) return;
  if (is_own_) {
    cudaFree(data_);
  } else {
    cudaIpcCloseMemHandle(data_);
  }
}

}  // namespace halo::cuda
