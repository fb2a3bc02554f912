#include "provider/collectives/nccl_trial.h"

#include <numeric>
#include <vector>

#include "comm/tcp_transport.h"
#include "provider/collectives/device_collectives.h"
#include "provider/collectives/nccl_library.h"
#include "provider/errors.h"

namespace halo::cuda {

namespace {

constexpr int64_t kElements = 100'003;

/// Of one rank each gives what it was given.
Status run_alone(Device& device, comm::Communicator& communicator, const comm::Kind kind) {
  std::unique_ptr<comm::DevicePlane>& plane = communicator.device_plane();
  std::vector<float> given(kElements), found(kElements);
  std::iota(given.begin(), given.end(), 1.0f);
  const size_t bytes = given.size() * sizeof(float);
  void* x = device.allocate(static_cast<int64_t>(bytes));
  void* y = device.allocate(static_cast<int64_t>(bytes));
  const auto run = [&]() -> Status {
    HALO_REQUIRE(x != nullptr && y != nullptr, 2 * bytes << " bytes on the GPU", "none left", "Ask again when nothing else runs there.");
    if (plane == nullptr) {
      std::unique_ptr<DeviceCollectives> made;
      HALO_RETURN_IF_ERROR(stream_collectives(device, communicator, comm::DeviceCarrier::kNccl, &made));
      plane = std::move(made);
    }
    auto& collectives = static_cast<DeviceCollectives&>(*plane);
    HALO_CUDA_RETURN_IF_ERROR(cudaMemcpyAsync(x, given.data(), bytes, cudaMemcpyHostToDevice, device.stream()));
    HALO_RETURN_IF_ERROR(collectives.start({.kind = kind,
                                            .reduction = Reduction::kSum,
                                            .type = DType::kFloat,
                                            .node = "trial",
                                            .group = "world",
                                            .index = 0,
                                            .counts = {kElements},
                                            .x = x,
                                            .y = y}));
    HALO_RETURN_IF_ERROR(collectives.wait(y));
    HALO_CUDA_RETURN_IF_ERROR(cudaMemcpyAsync(found.data(), y, bytes, cudaMemcpyDeviceToHost, device.stream()));
    HALO_CUDA_RETURN_IF_ERROR(cudaStreamSynchronize(device.stream()));
    HALO_REQUIRE(found == given, comm::name_of(kind) << " of one rank to give what it was given", "something else",
                 "Set NCCL_DEBUG=INFO and see its messages.");
    return {};
  };
  const Status status = run();
  if (x != nullptr) device.free(x);
  if (y != nullptr) device.free(y);
  return status;
}

Status run_all(Device& device, int* version) {
  const nccl::Api* api = nullptr;
  HALO_RETURN_IF_ERROR(nccl::open_library(&api));
  api->get_version(version);
  HALO_RETURN_IF_ERROR(device.prepare());
  Status status;
  comm::Communicator communicator(comm::tcp_transport("", 0, 0, 1, 1, 25), &status);
  HALO_RETURN_IF_ERROR(status);
  for (const comm::Kind kind : {comm::Kind::kAllGather, comm::Kind::kReduceScatter, comm::Kind::kAllReduce, comm::Kind::kAllToAll}) {
    HALO_RETURN_IF_ERROR(run_alone(device, communicator, kind));
  }
  return {};
}

}  // namespace

std::string nccl_trial(Device& device) {
  int version = 0;
  const Status status = run_all(device, &version);
  if (!status.ok()) return "cannot carry between ranks: " + status.message();
  return std::to_string(version / 10000) + "." + std::to_string(version / 100 % 100) + "." + std::to_string(version % 100) +
         ", four collectives of one rank are right";
}

}  // namespace halo::cuda
