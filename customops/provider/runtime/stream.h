// The device's stream and its events as ONNX Runtime wants them.
#pragma once

#include <onnxruntime_c_api.h>

#include "provider/device.h"

namespace halo::cuda {

/// A name for the device's one stream; owns nothing.
class Stream final : public OrtSyncStreamImpl {
 public:
  explicit Stream(Device& device);

 private:
  static Device& device_of(OrtSyncStreamImpl* self) { return static_cast<Stream*>(self)->device_; }

  Device& device_;
};

/// An event on the stream.
class Notification final : public OrtSyncNotificationImpl {
 public:
  explicit Notification(Device& device);
  ~Notification();
  Notification(const Notification&) = delete;
  Notification& operator=(const Notification&) = delete;

 private:
  Device& device_;
  cudaEvent_t event_ = nullptr;
};

}  // namespace halo::cuda
