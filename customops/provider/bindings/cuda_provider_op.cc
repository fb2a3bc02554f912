#include "provider/bindings/cuda_provider_op.h"

#include <map>
#include <mutex>

namespace halo::cuda {

namespace {

/// "Cuda" memory of a GPU; kept, as ONNX Runtime keeps pointers.
const OrtMemoryInfo* memory_of(int ordinal) {
  static std::mutex mutex;
  static std::map<int, OrtMemoryInfo*> known;
  const std::lock_guard lock(mutex);
  OrtMemoryInfo*& info = known[ordinal];
  if (info == nullptr) check(ort->CreateMemoryInfo("Cuda", OrtDeviceAllocator, ordinal, OrtMemTypeDefault, &info));
  return info;
}

}  // namespace

Status CudaProviderDevice::current(CudaProviderDevice* found) {
  int ordinal = 0;
  HALO_CUDA_RETURN_IF_ERROR(cudaGetDevice(&ordinal));
  const auto& devices = Device::all();
  HALO_REQUIRE(static_cast<size_t>(ordinal) < devices.size(), "a GPU", Device::reason(), "See 'halo doctor'.");
  HALO_RETURN_IF_ERROR(devices[static_cast<size_t>(ordinal)]->check_kernels());
  found->device_ = devices[static_cast<size_t>(ordinal)];
  found->memory_ = memory_of(ordinal);
  return {};
}

}  // namespace halo::cuda
