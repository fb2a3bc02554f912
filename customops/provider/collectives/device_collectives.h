// Collectives of tensors on a GPU.
#pragma once

#include "comm/communicator.h"
#include "provider/device.h"

namespace halo::cuda {

/// One communicator's collectives of tensors on one GPU; kept with the communicator. Nothing of them may be recorded.
class DeviceCollectives : public comm::DevicePlane {
 public:
  /// NCCL's where the communicator asks for it, else through memory of the host.
  static Status of(Device& device, comm::Communicator& communicator, DeviceCollectives** found);

  /// In the order of the device's stream; x is read until the wait is over, but in an AllGather.
  virtual Status start(const comm::Collective& collective) = 0;

  /// What follows on the device's stream finds y.
  virtual Status wait(const void* y) = 0;
};

std::unique_ptr<DeviceCollectives> staged_collectives(Device& device, comm::Communicator& communicator);
Status nccl_collectives(Device& device, comm::Communicator& communicator, std::unique_ptr<DeviceCollectives>* made);

}  // namespace halo::cuda
