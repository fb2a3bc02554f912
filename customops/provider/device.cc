#include "provider/device.h"

#include <cstdlib>
#include <utility>

#include "provider/architectures.h"
#include "provider/errors.h"

namespace halo::cuda {

const std::vector<Device*>& Device::all() {
  static const std::vector<Device*> devices = [] {
    std::vector<Device*> made;  // never freed: at exit the driver may be gone before them
    int count = 0;
    if (cudaGetDeviceCount(&count) != cudaSuccess) return made;
    for (int ordinal = 0; ordinal < count; ++ordinal) {
      cudaDeviceProp properties{};
      if (cudaGetDeviceProperties(&properties, ordinal) == cudaSuccess) made.push_back(new Device(ordinal, properties));
    }
    return made;
  }();
  return devices;
}

const std::string& Device::reason() {
  static const std::string text = [] {
    int count = 0;
    const cudaError_t error = cudaGetDeviceCount(&count);
    return error == cudaSuccess ? std::string() : std::string(cudaGetErrorString(error));
  }();
  return text;
}

Device::Device(int ordinal, const cudaDeviceProp& properties) : ordinal_(ordinal), properties_(properties) {
  const char* checked = std::getenv("HALO_CUDA_SYNC");
  is_checked_ = checked != nullptr && checked[0] == '1';
}

bool Device::has_kernels() const { return runs_on(kBuiltFor, properties_.major, properties_.minor); }

Status Device::check_kernels() const {
  HALO_REQUIRE(has_kernels(), "a GPU that the kernels were compiled for, HALO_CUDA_ARCHITECTURES " << kBuiltFor,
               properties_.name << " of compute capability " << properties_.major << "." << properties_.minor,
               "Build with -p:HaloCudaArchitectures= and its number (8.9: 89, 9.0: 90a, 10.0: 100a, 12.0: 120a), or run with --device cpu.");
  return {};
}

Status Device::prepare() {
  HALO_RETURN_IF_ERROR(check_kernels());
  HALO_CUDA_RETURN_IF_ERROR(cudaSetDevice(ordinal_));
  const std::lock_guard lock(mutex_);
  if (is_ready_) return {};
  HALO_RETURN_IF_ERROR(make());
  is_ready_ = true;
  return {};
}

Status Device::make() {
  HALO_CUDA_RETURN_IF_ERROR(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking));
  size_t free_bytes = 0, total_bytes = 0;
  HALO_CUDA_RETURN_IF_ERROR(cudaMemGetInfo(&free_bytes, &total_bytes));
  HALO_RETURN_IF_ERROR(MappedMemory::reserve(ordinal_, static_cast<int64_t>(total_bytes), &memory_));
  arena_ = std::make_unique<Arena>(*memory_);
  return {};
}

void* Device::allocate(int64_t bytes) { return allocate(bytes, order_); }

void* Device::allocate_settled(int64_t bytes) { return allocate(bytes, kSettled); }

void* Device::allocate(int64_t bytes, Order order) {
  void* block = arena_->allocate(bytes, order);
  if (block != nullptr) return block;
  if (!is_capturing_ && wait().ok()) block = arena_->allocate(bytes, order);  // what waits for the stream may be joined
  if (block != nullptr) return block;
  size_t free_bytes = 0, total_bytes = 0;
  cudaMemGetInfo(&free_bytes, &total_bytes);
  const ArenaStats stats = arena_->stats();
  shortage_ = {.wanted = bytes,
               .in_use = stats.in_use,
               .free = static_cast<int64_t>(free_bytes) + stats.mapped - stats.in_use,
               .total = static_cast<int64_t>(total_bytes)};
  return nullptr;
}

void Device::free(void* block) {
  if (block == nullptr) return;
  if (arena_->order_of(block) == kSettled && !is_capturing_) cudaStreamSynchronize(stream_);
  arena_->free(block);
}

Status Device::wait() {
  HALO_CUDA_RETURN_IF_ERROR(cudaStreamSynchronize(stream_));
  arena_->release(kStreamOrder);
  return {};
}

bool Device::is_ready() {
  const std::lock_guard lock(mutex_);
  return is_ready_;
}

ArenaStats Device::take_memory() {
  const ArenaStats stats = arena_->stats();
  arena_->reset_peak();
  return stats;
}

void Device::shrink() {
  if (wait().ok()) arena_->shrink();
}

Device::Shortage Device::take_shortage() { return std::exchange(shortage_, Shortage{}); }

void Device::note_attention(const std::string& reason) {
  const std::lock_guard lock(mutex_);
  ++(reason.empty() ? attention_use_.by_cudnn : attention_use_.by_halo);
  if (!reason.empty()) attention_use_.reason = reason;
}

Device::AttentionUse Device::take_attention_use() {
  const std::lock_guard lock(mutex_);
  return std::exchange(attention_use_, AttentionUse{});
}

void Device::begin_recorded(bool is_captured) {
  order_ = kRecordedOrder;
  is_capturing_ = is_captured;
}

void Device::end_recorded() {
  order_ = kStreamOrder;
  is_capturing_ = false;
}

void Device::drop_recording() {
  if (--recordings_ == 0) arena_->release(kRecordedOrder);
}

}  // namespace halo::cuda
