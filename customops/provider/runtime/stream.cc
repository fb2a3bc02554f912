#include "provider/runtime/stream.h"

#include <stdexcept>

#include "provider/errors.h"
#include "provider/runtime/guard.h"

namespace halo::cuda {

Stream::Stream(Device& device) : OrtSyncStreamImpl{}, device_(device) {
  ort_version_supported = ORT_API_VERSION;
  Release = [](OrtSyncStreamImpl* self) noexcept { delete static_cast<Stream*>(self); };
  GetHandle = [](OrtSyncStreamImpl* self) noexcept -> void* { return device_of(self).stream(); };
  CreateNotification = [](OrtSyncStreamImpl* self, OrtSyncNotificationImpl** made) noexcept -> OrtStatus* {
    return provider_guarded([&]() -> Status {
      *made = new Notification(device_of(self));
      return {};
    });
  };
  // Waiting is illegal while the stream is captured; whoever captures waits afterwards.
  Flush = [](OrtSyncStreamImpl* self) noexcept -> OrtStatus* {
    return provider_guarded([&] { return device_of(self).is_capturing() ? Status() : device_of(self).wait(); });
  };
  OnSessionRunEnd = Flush;
}

Notification::Notification(Device& device) : OrtSyncNotificationImpl{}, device_(device) {
  ort_version_supported = ORT_API_VERSION;
  const Status status = HALO_CUDA_STATUS(cudaEventCreateWithFlags(&event_, cudaEventDisableTiming));
  if (!status.ok()) throw std::runtime_error(status.message());
  Release = [](OrtSyncNotificationImpl* self) noexcept { delete static_cast<Notification*>(self); };
  Activate = [](OrtSyncNotificationImpl* self) noexcept -> OrtStatus* {
    auto* n = static_cast<Notification*>(self);
    return provider_guarded([&] { return HALO_CUDA_STATUS(cudaEventRecord(n->event_, n->device_.stream())); });
  };
  WaitOnDevice = [](OrtSyncNotificationImpl* self, OrtSyncStream* consumer) noexcept -> OrtStatus* {
    auto* n = static_cast<Notification*>(self);
    auto* stream = static_cast<cudaStream_t>(ort->SyncStream_GetHandle(consumer));
    return provider_guarded([&] { return HALO_CUDA_STATUS(cudaStreamWaitEvent(stream, n->event_, 0)); });
  };
  WaitOnHost = [](OrtSyncNotificationImpl* self) noexcept -> OrtStatus* {
    return provider_guarded([&] { return HALO_CUDA_STATUS(cudaEventSynchronize(static_cast<Notification*>(self)->event_)); });
  };
}

Notification::~Notification() { cudaEventDestroy(event_); }

}  // namespace halo::cuda
