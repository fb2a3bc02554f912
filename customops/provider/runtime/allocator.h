// A device's arena as ONNX Runtime wants it.
#pragma once

#include <onnxruntime_c_api.h>

#include "provider/device.h"

namespace halo::cuda {

/// The memory of a device, as ONNX Runtime names it.
OrtMemoryInfo* make_memory_info(const Device& device);

class Allocator final : public OrtAllocator {
 public:
  explicit Allocator(Device& device);
  ~Allocator();
  Allocator(const Allocator&) = delete;
  Allocator& operator=(const Allocator&) = delete;

 private:
  static Device& device_of(OrtAllocator* self) { return static_cast<Allocator*>(self)->device_; }

  Device& device_;
  OrtMemoryInfo* info_;
};

}  // namespace halo::cuda
