// Entry points by which ONNX Runtime finds the provider, and the factory behind them.
#include <onnxruntime_c_api.h>

#include <vector>

#include "provider/errors.h"
#include "provider/runtime/allocator.h"
#include "provider/runtime/ep.h"
#include "provider/runtime/guard.h"
#include "provider/runtime/stream.h"
#include "provider/runtime/transfer.h"
#include "provider/runtime/vendor.h"

namespace halo::cuda {

namespace {

class Factory final : public OrtEpFactory {
 public:
  Factory();
  ~Factory();
  Factory(const Factory&) = delete;
  Factory& operator=(const Factory&) = delete;

 private:
  static Factory& of(OrtEpFactory* self) { return *static_cast<Factory*>(self); }
  size_t list_devices(OrtEpDevice** devices, size_t most);
  void offer_memory();

  std::vector<OrtHardwareDevice*> hardware_;
  std::vector<OrtMemoryInfo*> memories_;  // ONNX Runtime keeps the pointers
};

/// The device that a memory, or a hardware device, stands for.
Device& device_at(uint32_t ordinal) { return *Device::all().at(ordinal); }

struct KeyValues {
  KeyValues() { ort->CreateKeyValuePairs(&pairs); }
  ~KeyValues() { ort->ReleaseKeyValuePairs(pairs); }
  KeyValues(const KeyValues&) = delete;
  KeyValues& operator=(const KeyValues&) = delete;
  OrtKeyValuePairs* pairs = nullptr;
};

Factory::Factory() : OrtEpFactory{} {
  ort_version_supported = ORT_API_VERSION;
  GetName = [](const OrtEpFactory*) noexcept { return kProviderName; };
  GetVendor = [](const OrtEpFactory*) noexcept { return "halo"; };
  GetVendorId = [](const OrtEpFactory*) noexcept { return kNvidia; };
  GetVersion = [](const OrtEpFactory*) noexcept { return "0.1.0"; };
  GetSupportedDevices = [](OrtEpFactory* self, const OrtHardwareDevice* const*, size_t, OrtEpDevice** devices, size_t most,
                           size_t* count) noexcept -> OrtStatus* {
    *count = 0;
    return provider_guarded([&]() -> Status {
      *count = of(self).list_devices(devices, most);
      return {};
    });
  };
  CreateEp = [](OrtEpFactory*, const OrtHardwareDevice* const* devices, const OrtKeyValuePairs* const*, size_t count, const OrtSessionOptions* options,
                const OrtLogger*, OrtEp** made) noexcept -> OrtStatus* {
    return provider_guarded([&]() -> Status {
      HALO_REQUIRE(count == 1, "one GPU for a session", count, "Give the device of this rank.");
      Device& device = device_at(ort->HardwareDevice_DeviceId(devices[0]));
      HALO_RETURN_IF_ERROR(device.prepare());
      ProviderSettings settings;
      HALO_RETURN_IF_ERROR(read_settings(options, device, &settings));
      *made = new Ep(device, settings);
      return {};
    });
  };
  ReleaseEp = [](OrtEpFactory*, OrtEp* ep) noexcept { delete static_cast<Ep*>(ep); };
  offer_memory();
}

void Factory::offer_memory() {
  CreateAllocator = [](OrtEpFactory*, const OrtMemoryInfo* info, const OrtKeyValuePairs*, OrtAllocator** made) noexcept -> OrtStatus* {
    return provider_guarded([&]() -> Status {
      Device& device = device_at(ort->GetEpApi()->MemoryDevice_GetDeviceId(ort->GetEpApi()->MemoryInfo_GetMemoryDevice(info)));
      HALO_RETURN_IF_ERROR(device.prepare());
      *made = new Allocator(device);
      return {};
    });
  };
  ReleaseAllocator = [](OrtEpFactory*, OrtAllocator* allocator) noexcept { delete static_cast<Allocator*>(allocator); };
  CreateDataTransfer = [](OrtEpFactory*, OrtDataTransferImpl** made) noexcept -> OrtStatus* {
    return provider_guarded([&]() -> Status {
      *made = new Transfer();
      return {};
    });
  };
  IsStreamAware = [](const OrtEpFactory*) noexcept { return true; };
  CreateSyncStreamForDevice = [](OrtEpFactory*, const OrtMemoryDevice* memory, const OrtKeyValuePairs*, OrtSyncStreamImpl** made) noexcept -> OrtStatus* {
    return provider_guarded([&]() -> Status {
      Device& device = device_at(ort->GetEpApi()->MemoryDevice_GetDeviceId(memory));
      HALO_RETURN_IF_ERROR(device.prepare());
      *made = new Stream(device);
      return {};
    });
  };
}

/// Devices come from CUDA, not from ONNX Runtime's own look at the machine, which may see none.
size_t Factory::list_devices(OrtEpDevice** devices, size_t most) {
  const OrtEpApi& api = *ort->GetEpApi();
  size_t count = 0;
  for (Device* device : Device::all()) {
    if (count == most) break;
    const KeyValues metadata, options;
    const auto add = [&](const char* key, const std::string& value) { ort->AddKeyValuePair(metadata.pairs, key, value.c_str()); };
    add("name", device->properties().name);
    add("compute_capability", std::to_string(device->properties().major) + "." + std::to_string(device->properties().minor));
    add("memory_bytes", std::to_string(device->properties().totalGlobalMem));
    OrtHardwareDevice* hardware = nullptr;
    check(api.CreateHardwareDevice(OrtHardwareDeviceType_GPU, kNvidia, static_cast<uint32_t>(device->ordinal()), "NVIDIA", metadata.pairs, &hardware));
    hardware_.push_back(hardware);
    OrtEpDevice* made = nullptr;
    check(api.CreateEpDevice(this, hardware, metadata.pairs, options.pairs, &made));
    devices[count++] = made;
    memories_.push_back(make_memory_info(*device));
    check(api.EpDevice_AddAllocatorInfo(made, memories_.back()));
  }
  return count;
}

Factory::~Factory() {
  for (OrtMemoryInfo* memory : memories_) ort->ReleaseMemoryInfo(memory);
  for (OrtHardwareDevice* hardware : hardware_) ort->GetEpApi()->ReleaseHardwareDevice(hardware);
}

}  // namespace

}  // namespace halo::cuda

extern "C" {

__attribute__((visibility("default"))) OrtStatus* CreateEpFactories(const char*, const OrtApiBase* base, const OrtLogger*, OrtEpFactory** factories,
                                                                    size_t most, size_t* count) {
  const OrtApi* api = base->GetApi(ORT_API_VERSION);
  if (api == nullptr) {
    const std::string message = "HaloCuda: expected ONNX Runtime with API " + std::to_string(ORT_API_VERSION) + " or later, found " + base->GetVersionString() +
                                ". Build the library against the headers of that version.";
    return base->GetApi(1)->CreateStatus(ORT_NOT_IMPLEMENTED, message.c_str());
  }
  halo::ort = api;
  return halo::cuda::provider_guarded([&]() -> halo::Status {
    HALO_REQUIRE(most >= 1, "room for a factory", most, "Report this.");
    factories[0] = new halo::cuda::Factory();
    *count = 1;
    return halo::Status();
  });
}

__attribute__((visibility("default"))) OrtStatus* ReleaseEpFactory(OrtEpFactory* factory) {
  delete static_cast<halo::cuda::Factory*>(factory);
  return nullptr;
}
}
