// Work of a recording that somebody follows beside its kernels: collectives, whose times are read and which are watched while the recording is replayed.
#pragma once

#include <memory>
#include <vector>

#include "common/status.h"
#include "provider/device.h"

namespace halo::cuda {

class RecordedWork {
 public:
  virtual ~RecordedWork() = default;

  /// Nothing more is recorded with it.
  virtual void end() = 0;

  /// In front of each launch of the recording, and behind it, on the device's stream.
  virtual Status before_replay() = 0;
  virtual Status after_replay() = 0;
};

/// Hands work to the recording that the device makes.
void add_recorded_work(const Device& device, std::shared_ptr<RecordedWork> work);

/// What was handed to it, in order; asking empties the list.
std::vector<std::shared_ptr<RecordedWork>> take_recorded_work(const Device& device);

}  // namespace halo::cuda
