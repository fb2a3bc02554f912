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
    if (event_ == nullptr) HALO_CUDA_RETURN_IF_ERROR(cudaEventCreate(&event_));
    return HALO_CUDA_STATUS(cudaEventRecord(event_, stream));
  }
  cudaEvent_t get() const { return event_; }

 private:
  cudaEvent_t event_ = nullptr;
};

inline double seconds_between(const Event& from, const Event& to) {
  float milliseconds = 0;
  return cudaEventElapsedTime(&milliseconds, from.get(), to.get()) == cudaSuccess ? milliseconds / 1e3 : 0;
}

}  // namespace halo::cuda
