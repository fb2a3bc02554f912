// Collectives of tensors on a GPU.
#pragma once

#include "comm/communicator.h"
#include "provider/device.h"

namespace halo::cuda {

/// One communicator's collectives of tensors on one GPU; kept with the communicator. Those by copies may be recorded.
class DeviceCollectives : public comm::DevicePlane {
 public:
  /// By what the communicator asks for: NCCL, copies, or memory of the host.
  static Status of(Device& device, comm::Communicator& communicator, DeviceCollectives** found);

  /// In the order of the device's stream; x is read until the wait is over, but in an AllGather.
  virtual Status start(const comm::Collective& collective) = 0;

  /// What follows on the device's stream finds y.
  virtual Status wait(const void* y) = 0;
};

std::unique_ptr<DeviceCollectives> staged_collectives(Device& device, comm::Communicator& communicator);

/// By NCCL or by copies, on a stream of their own.
Status stream_collectives(Device& device, comm::Communicator& communicator, comm::DeviceCarrier carrier, std::unique_ptr<DeviceCollectives>* made);

}  // namespace halo::cuda
