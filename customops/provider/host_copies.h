// Copies between a GPU and page-locked memory of the host, on a stream beside that of the device.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>
#include <memory>

#include "common/status.h"

namespace halo::cuda {

/// They run one after the other, so that what one has written the next may read, and may be recorded: the copies of a recording are waited for in it.
class HostCopies {
 public:
  HostCopies();
  ~HostCopies();
  HostCopies(const HostCopies&) = delete;
  HostCopies& operator=(const HostCopies&) = delete;

  /// `bytes` bytes of x to y, behind all that `stream` has to do so far and beside what follows on it. Until wait(y) x is not to be written, nor y touched.
  Status start(const void* x, void* y, int64_t bytes, cudaStream_t stream);

  /// What follows on `stream` finds y copied; at once where no copy to y was started.
  Status wait(const void* y, cudaStream_t stream);

  /// Waits for what a run that failed has left.
  Status settle();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace halo::cuda
