// Copies between host memory of any kind and a device, through pinned buffers: the caller's memory is free again when a copy returns. What counts as the
// device's may be page-locked memory of the host (pinned_memory.h): where an address lies, the driver finds.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>
#include <mutex>

#include "common/status.h"

namespace halo::cuda {

/// cudaMemcpyDefault: the driver finds where both addresses lie.
inline constexpr auto kWhereverTheyLie = static_cast<cudaMemcpyKind>(4);

class Staging {
 public:
  Staging() = default;
  Staging(const Staging&) = delete;
  Staging& operator=(const Staging&) = delete;
  ~Staging();

  /// Enqueues; `source` may be freed or written when it returns.
  Status to_device(void* target, const void* source, int64_t bytes, cudaStream_t stream);

  /// Waits for the stream: `target` is written when it returns.
  Status to_host(void* target, const void* source, int64_t bytes, cudaStream_t stream);

 private:
  static constexpr int kBuffers = 4;
  static constexpr int64_t kBufferBytes = int64_t{4} << 20;  // long enough for the full rate of PCIe, short enough that copies in and out overlap

  Status prepare();

  std::mutex mutex_;
  char* buffers_ = nullptr;
  cudaEvent_t ready_[kBuffers] = {};  // the device is done with the buffer
  int next_ = 0;
};

}  // namespace halo::cuda
