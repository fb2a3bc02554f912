// Points of a stream, whose time is known when it has come there.
#pragma once

#include <utility>

#include "common/status.h"
#include "provider/errors.h"

namespace halo::cuda {

class Event {
 public:
  Event() = default;
  Event(Event&& other) noexcept : event_(std::exchange(other.event_, nullptr)) {}
  Event& operator=(Event&& other) noexcept {
    std::swap(event_, other.event_);
    return *this;
  }
  ~Event() {
    if (event_ != nullptr) cudaEventDestroy(event_);
  }

  Status record(cudaStream_t stream) {
    HALO_RETURN_IF_ERROR(create());
    return HALO_CUDA_STATUS(cudaEventRecord(event_, stream));
  }

  /// The same of each replay of what is recorded: nothing that is recorded can wait for it.
  Status record_each_replay(cudaStream_t stream) {
    HALO_RETURN_IF_ERROR(create());
    return HALO_CUDA_STATUS(cudaEventRecordWithFlags(event_, stream, cudaEventRecordExternal));
  }
  cudaEvent_t get() const { return event_; }

 private:
  Status create() { return event_ == nullptr ? HALO_CUDA_STATUS(cudaEventCreate(&event_)) : Status(); }

  cudaEvent_t event_ = nullptr;
};

/// Whether a stream has come to `event` since it came to `from`, which it may have come to often.
inline bool has_passed_since(const Event& from, const Event& event) {
  float milliseconds = 0;
  return cudaEventElapsedTime(&milliseconds, from.get(), event.get()) == cudaSuccess && milliseconds >= 0;
}

inline double seconds_between(const Event& from, const Event& to) {
  float milliseconds = 0;
  return cudaEventElapsedTime(&milliseconds, from.get(), to.get()) == cudaSuccess ? milliseconds / 1e3 : 0;
}

}  // namespace halo::cuda
