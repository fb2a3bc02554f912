#include "provider/staging.h"

#include <algorithm>
#include <cstring>

#include "provider/errors.h"

namespace halo::cuda {

Staging::~Staging() {
  for (cudaEvent_t event : ready_) {
    if (event != nullptr) cudaEventDestroy(event);
  }
  if (buffers_ != nullptr) cudaFreeHost(buffers_);
}

Status Staging::prepare() {
  if (buffers_ != nullptr) return {};
  for (cudaEvent_t& event : ready_) HALO_CUDA_RETURN_IF_ERROR(cudaEventCreateWithFlags(&event, cudaEventDisableTiming));
  void* made = nullptr;
  HALO_CUDA_RETURN_IF_ERROR(cudaMallocHost(&made, kBuffers * kBufferBytes));
  buffers_ = static_cast<char*>(made);
  return {};
}

Status Staging::to_device(void* target, const void* source, int64_t bytes, cudaStream_t stream) {
  const std::lock_guard lock(mutex_);
  HALO_RETURN_IF_ERROR(prepare());
  for (int64_t at = 0; at < bytes; at += kBufferBytes) {
    const auto size = static_cast<size_t>(std::min(kBufferBytes, bytes - at));
    char* buffer = buffers_ + next_ * kBufferBytes;
    HALO_CUDA_RETURN_IF_ERROR(cudaEventSynchronize(ready_[next_]));
    std::memcpy(buffer, static_cast<const char*>(source) + at, size);
    HALO_CUDA_RETURN_IF_ERROR(cudaMemcpyAsync(static_cast<char*>(target) + at, buffer, size, kWhereverTheyLie, stream));
    HALO_CUDA_RETURN_IF_ERROR(cudaEventRecord(ready_[next_], stream));
    next_ = (next_ + 1) % kBuffers;
  }
  return {};
}

Status Staging::to_host(void* target, const void* source, int64_t bytes, cudaStream_t stream) {
  const std::lock_guard lock(mutex_);
  HALO_RETURN_IF_ERROR(prepare());
  const int64_t pieces = (bytes + kBufferBytes - 1) / kBufferBytes;
  const auto size_of = [&](int64_t piece) { return static_cast<size_t>(std::min(kBufferBytes, bytes - piece * kBufferBytes)); };
  const auto slot_of = [&](int64_t piece) { return static_cast<int>((next_ + piece) % kBuffers); };
  for (int64_t piece = 0; piece < pieces + kBuffers; ++piece) {
    if (piece >= kBuffers) {  // the piece that was asked for kBuffers pieces ago
      const int64_t done = piece - kBuffers;
      if (done >= pieces) break;
      HALO_CUDA_RETURN_IF_ERROR(cudaEventSynchronize(ready_[slot_of(done)]));
      std::memcpy(static_cast<char*>(target) + done * kBufferBytes, buffers_ + slot_of(done) * kBufferBytes, size_of(done));
    }
    if (piece < pieces) {
      if (piece < kBuffers) HALO_CUDA_RETURN_IF_ERROR(cudaEventSynchronize(ready_[slot_of(piece)]));  // a copy to the device may still read it
      HALO_CUDA_RETURN_IF_ERROR(cudaMemcpyAsync(buffers_ + slot_of(piece) * kBufferBytes, static_cast<const char*>(source) + piece * kBufferBytes,
                                                size_of(piece), kWhereverTheyLie, stream));
      HALO_CUDA_RETURN_IF_ERROR(cudaEventRecord(ready_[slot_of(piece)], stream));
    }
  }
  next_ = slot_of(pieces);
  return {};
}

}  // namespace halo::cuda
