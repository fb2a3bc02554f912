#include "provider/runtime/transfer.h"

#include "provider/device.h"
#include "provider/errors.h"
#include "provider/runtime/guard.h"
#include "provider/runtime/vendor.h"

namespace halo::cuda {

namespace {

const OrtEpApi& ep_api() { return *ort->GetEpApi(); }

bool is_gpu(const OrtMemoryDevice* memory) {
  return ep_api().MemoryDevice_GetDeviceType(memory) == OrtMemoryInfoDeviceType_GPU && ep_api().MemoryDevice_GetVendorId(memory) == kNvidia;
}

bool is_host(const OrtMemoryDevice* memory) { return ep_api().MemoryDevice_GetDeviceType(memory) == OrtMemoryInfoDeviceType_CPU; }

Device* device_of(const OrtMemoryDevice* memory) {
  const uint32_t ordinal = ep_api().MemoryDevice_GetDeviceId(memory);
  for (Device* device : Device::all()) {
    if (static_cast<uint32_t>(device->ordinal()) == ordinal) return device;
  }
  return nullptr;
}

/// In the order of the device's stream, on which everything runs; done when it returns where the target is on the host.
Status copy(const OrtValue* from, OrtValue* to) {
  const void* source = nullptr;
  void* target = nullptr;
  size_t bytes = 0;
  check(ort->GetTensorData(from, &source));
  check(ort->GetTensorMutableData(to, &target));
  check(ort->GetTensorSizeInBytes(from, &bytes));
  if (bytes == 0) return {};
  const OrtMemoryDevice *source_memory = ep_api().Value_GetMemoryDevice(from), *target_memory = ep_api().Value_GetMemoryDevice(to);
  Device* device = device_of(is_gpu(target_memory) ? target_memory : source_memory);
  HALO_REQUIRE(device != nullptr, "a tensor on one of " << Device::all().size() << " GPUs", "another device", "Check the device of the tensor.");
  HALO_RETURN_IF_ERROR(device->prepare());
  const auto size = static_cast<int64_t>(bytes);
  if (is_host(source_memory)) return device->staging().to_device(target, source, size, device->stream());
  if (is_host(target_memory)) return device->staging().to_host(target, source, size, device->stream());
  Device* other = device_of(source_memory);
  if (other == device) return HALO_CUDA_STATUS(cudaMemcpyAsync(target, source, bytes, cudaMemcpyDeviceToDevice, device->stream()));
  HALO_RETURN_IF_ERROR(other->wait());  // the source may still be written there
  HALO_CUDA_RETURN_IF_ERROR(cudaMemcpyPeerAsync(target, device->ordinal(), source, other->ordinal(), bytes, device->stream()));
  return device->wait();
}

}  // namespace

Transfer::Transfer() : OrtDataTransferImpl{} {
  ort_version_supported = ORT_API_VERSION;
  Release = [](OrtDataTransferImpl* self) noexcept { delete static_cast<Transfer*>(self); };
  CanCopy = [](const OrtDataTransferImpl*, const OrtMemoryDevice* from, const OrtMemoryDevice* to) noexcept {
    return (is_gpu(from) && (is_gpu(to) || is_host(to))) || (is_host(from) && is_gpu(to));
  };
  CopyTensors = [](OrtDataTransferImpl*, const OrtValue** from, OrtValue** to, OrtSyncStream**, size_t count) noexcept -> OrtStatus* {
    return provider_guarded([&]() -> Status {
      for (size_t i = 0; i < count; ++i) HALO_RETURN_IF_ERROR(copy(from[i], to[i]));
      return {};
    });
  };
}

}  // namespace halo::cuda
