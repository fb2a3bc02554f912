#include "provider/collectives/device_collectives.h"

namespace halo::cuda {

Status DeviceCollectives::of(Device& device, comm::Communicator& communicator, DeviceCollectives** found) {
  HALO_REQUIRE(!device.is_capturing() || communicator.device_carrier != comm::DeviceCarrier::kHost, "collectives of runs that are not recorded", "a recording",
               "Let copies carry (--rank-carrier copies), or switch recording off: graph_capture 0.");
  const std::lock_guard lock(communicator.device_plane_mutex());  // opened by the first session; ranks that share a process wait for each other meanwhile
  std::unique_ptr<comm::DevicePlane>& plane = communicator.device_plane();
  if (plane == nullptr) {
    std::unique_ptr<DeviceCollectives> made;
    if (communicator.device_carrier == comm::DeviceCarrier::kHost) {
      made = staged_collectives(device, communicator);
    } else {
      HALO_RETURN_IF_ERROR(stream_collectives(device, communicator, communicator.device_carrier, &made));
    }
    plane = std::move(made);
  }
  *found = static_cast<DeviceCollectives*>(plane.get());
  return {};
}

}  // namespace halo::cuda
