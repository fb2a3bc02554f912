#include "provider/runtime/allocator.h"

#include "provider/runtime/guard.h"
#include "provider/runtime/vendor.h"

namespace halo::cuda {

OrtMemoryInfo* make_memory_info(const Device& device) {
  OrtMemoryInfo* info = nullptr;
  check(ort->CreateMemoryInfo_V2(kProviderName, OrtMemoryInfoDeviceType_GPU, kNvidia, device.ordinal(), OrtDeviceMemoryType_DEFAULT, 0, OrtDeviceAllocator,
                                 &info));
  return info;
}

Allocator::Allocator(Device& device) : OrtAllocator{}, device_(device), info_(make_memory_info(device)) {
  version = ORT_API_VERSION;
  OrtAllocator::Alloc = [](OrtAllocator* self, size_t bytes) -> void* { return device_of(self).allocate_settled(static_cast<int64_t>(bytes)); };
  OrtAllocator::Free = [](OrtAllocator* self, void* block) { device_of(self).free(block); };
  OrtAllocator::Info = [](const OrtAllocator* self) -> const OrtMemoryInfo* { return static_cast<const Allocator*>(self)->info_; };
  OrtAllocator::Reserve = OrtAllocator::Alloc;
  OrtAllocator::AllocOnStream = [](OrtAllocator* self, size_t bytes, OrtSyncStream* stream) -> void* {
    const auto size = static_cast<int64_t>(bytes);
    return stream == nullptr ? device_of(self).allocate_settled(size) : device_of(self).allocate(size);
  };
  OrtAllocator::GetStats = [](const OrtAllocator* self, OrtKeyValuePairs** out) noexcept -> OrtStatus* {
    return provider_guarded([&]() -> Status {
      ort->CreateKeyValuePairs(out);
      const ArenaStats stats = static_cast<const Allocator*>(self)->device_.memory();
      const auto add = [&](const char* name, int64_t value) { ort->AddKeyValuePair(*out, name, std::to_string(value).c_str()); };
      add("InUse", stats.in_use);
      add("MaxInUse", stats.peak);
      add("TotalAllocated", stats.mapped);
      add("LargestFree", stats.largest);
      add("NumAllocs", stats.allocations);
      add("Limit", stats.reserved);
      return {};
    });
  };
  OrtAllocator::Shrink = [](OrtAllocator* self) noexcept -> OrtStatus* {
    device_of(self).shrink();
    return nullptr;
  };
}

Allocator::~Allocator() { ort->ReleaseMemoryInfo(info_); }

}  // namespace halo::cuda
