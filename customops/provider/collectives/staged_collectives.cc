// Through memory of the host: for ranks that MPI or threads carry. Waits for the GPU at each start, and is there to be right, not fast.
#include <algorithm>
#include <map>
#include <vector>

#include "provider/collectives/device_collectives.h"
#include "provider/errors.h"

namespace halo::cuda {

namespace {

/// Pinned memory.
class Pinned {
 public:
  ~Pinned() {
    if (data_ != nullptr) cudaFreeHost(data_);
  }
  Pinned() = default;
  Pinned(const Pinned&) = delete;
  Pinned& operator=(const Pinned&) = delete;

  Status grow(size_t bytes) {
    if (bytes <= bytes_ && data_ != nullptr) return {};
    if (data_ != nullptr) cudaFreeHost(data_);
    data_ = nullptr;
    bytes_ = std::max<size_t>(bytes, 1);
    return HALO_CUDA_STATUS(cudaMallocHost(&data_, bytes_));
  }
  void* data() const { return data_; }
  size_t bytes() const { return bytes_; }

 private:
  void* data_ = nullptr;
  size_t bytes_ = 0;
};

struct Buffers {
  Pinned x, y;
  size_t y_bytes = 0;
};

class StagedCollectives final : public DeviceCollectives {
 public:
  StagedCollectives(Device& device, comm::Communicator& communicator) : device_(device), communicator_(communicator) {}

  Status start(const comm::Collective& c) override {
    auto buffers = take(c.y_bytes());
    HALO_RETURN_IF_ERROR(buffers->x.grow(c.x_bytes()));
    HALO_RETURN_IF_ERROR(buffers->y.grow(c.y_bytes()));
    buffers->y_bytes = c.y_bytes();
    if (c.x_bytes() > 0) HALO_CUDA_RETURN_IF_ERROR(cudaMemcpyAsync(buffers->x.data(), c.x, c.x_bytes(), cudaMemcpyDeviceToHost, device_.stream()));
    HALO_CUDA_RETURN_IF_ERROR(cudaStreamSynchronize(device_.stream()));
    comm::Collective on_host = c;
    on_host.x = buffers->x.data();
    on_host.y = buffers->y.data();
    HALO_RETURN_IF_ERROR(communicator_.start(on_host));
    pending_.emplace(c.y, std::move(buffers));
    return {};
  }

  Status wait(const void* y) override {
    for (auto found = pending_.find(y); found != pending_.end(); found = pending_.find(y)) {
      Buffers& buffers = *found->second;
      HALO_RETURN_IF_ERROR(communicator_.wait(buffers.y.data()));
      void* const target = const_cast<void*>(y);
      if (buffers.y_bytes > 0) {
        HALO_CUDA_RETURN_IF_ERROR(cudaMemcpyAsync(target, buffers.y.data(), buffers.y_bytes, cudaMemcpyHostToDevice, device_.stream()));
      }
      HALO_CUDA_RETURN_IF_ERROR(cudaStreamSynchronize(device_.stream()));
      free_.push_back(std::move(found->second));
      pending_.erase(found);
    }
    return {};
  }

 private:
  /// Buffers that are large enough, if there are some.
  std::unique_ptr<Buffers> take(size_t y_bytes) {
    auto best = free_.end();
    for (auto at = free_.begin(); at != free_.end(); ++at) {
      if ((*at)->y.bytes() >= y_bytes && (best == free_.end() || (*at)->y.bytes() < (*best)->y.bytes())) best = at;
    }
    if (best == free_.end()) return std::make_unique<Buffers>();
    auto taken = std::move(*best);
    free_.erase(best);
    return taken;
  }

  Device& device_;
  comm::Communicator& communicator_;
  std::multimap<const void*, std::unique_ptr<Buffers>> pending_;  // by the address on the device
  std::vector<std::unique_ptr<Buffers>> free_;
};

}  // namespace

std::unique_ptr<DeviceCollectives> staged_collectives(Device& device, comm::Communicator& communicator) {
  return std::make_unique<StagedCollectives>(device, communicator);
}

}  // namespace halo::cuda
