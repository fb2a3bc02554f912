#include "provider/host_copies.h"

#include <unordered_map>
#include <utility>
#include <vector>

#include "provider/errors.h"
#include "provider/staging.h"

namespace halo::cuda {

namespace {

struct Destroy {
  void operator()(cudaEvent_t event) const { cudaEventDestroy(event); }
};

/// A point of a stream that another stream waits for.
using Point = std::unique_ptr<CUevent_st, Destroy>;

}  // namespace

struct HostCopies::State {
  /// One whose last place was waited for, or a new one.
  Status take(Point* point) {
    if (!free.empty()) {
      *point = std::move(free.back());
      free.pop_back();
      return {};
    }
    cudaEvent_t made = nullptr;
    HALO_CUDA_RETURN_IF_ERROR(cudaEventCreateWithFlags(&made, cudaEventDisableTiming));
    point->reset(made);
    return {};
  }

  cudaStream_t stream = nullptr;
  std::unordered_map<const void*, Point> pending;  // the ends of copies, by where they go
  std::vector<Point> free;
};

HostCopies::HostCopies() : state_(std::make_unique<State>()) {}

HostCopies::~HostCopies() = default;

Status HostCopies::start(const void* x, void* y, int64_t bytes, cudaStream_t stream) {
  cudaStream_t& copies = state_->stream;
  if (copies == nullptr) HALO_CUDA_RETURN_IF_ERROR(cudaStreamCreateWithFlags(&copies, cudaStreamNonBlocking));
  Point point;
  HALO_RETURN_IF_ERROR(state_->take(&point));
  HALO_CUDA_RETURN_IF_ERROR(cudaEventRecord(point.get(), stream));
  HALO_CUDA_RETURN_IF_ERROR(cudaStreamWaitEvent(copies, point.get(), 0));
  if (bytes > 0) HALO_CUDA_RETURN_IF_ERROR(cudaMemcpyAsync(y, x, static_cast<size_t>(bytes), kWhereverTheyLie, copies));
  HALO_CUDA_RETURN_IF_ERROR(cudaEventRecord(point.get(), copies));
  state_->pending.insert_or_assign(y, std::move(point));
  return {};
}

Status HostCopies::wait(const void* y, cudaStream_t stream) {
  const auto found = state_->pending.find(y);
  if (found == state_->pending.end()) return {};
  HALO_CUDA_RETURN_IF_ERROR(cudaStreamWaitEvent(stream, found->second.get(), 0));
  state_->free.push_back(std::move(found->second));
  state_->pending.erase(found);
  return {};
}

Status HostCopies::settle() {
  if (state_->pending.empty()) return {};
  state_->pending.clear();
  return HALO_CUDA_STATUS(cudaStreamSynchronize(state_->stream));
}

}  // namespace halo::cuda
