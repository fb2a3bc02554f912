// A GPU: one stream that all sessions work on, one arena, one set of products, one of attention plans.
#pragma once

#include <cuda_runtime_api.h>

#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "common/arena.h"
#include "common/status.h"
#include "provider/cudnn/cudnn_attention.h"
#include "provider/host_copies.h"
#include "provider/mapped_memory.h"
#include "provider/products/lt_products.h"
#include "provider/staging.h"

namespace halo::cuda {

/// Where work memory comes from: blocks that are used in the order of a stream.
class WorkMemory {
 public:
  /// Null where there is none.
  virtual void* allocate(int64_t bytes) = 0;
  virtual void free(void* block) = 0;

 protected:
  ~WorkMemory() = default;
};

class Device final : public WorkMemory {
 public:
  /// The GPUs of this machine; none without a driver, and then `reason` says why. Touches no GPU.
  static const std::vector<Device*>& all();
  static const std::string& reason();

  /// Whether the kernels are compiled for this GPU.
  bool has_kernels() const;

  /// Refuses a GPU that the library was not built for.
  Status check_kernels() const;

  /// As check_kernels(), and makes stream and arena at first use; also makes the device that of the calling thread.
  Status prepare();

  int ordinal() const { return ordinal_; }
  const cudaDeviceProp& properties() const { return properties_; }
  cudaStream_t stream() const { return stream_; }
  LtProducts& products() { return products_; }
  CudnnAttention& attention() { return attention_; }
  Staging& staging() { return staging_; }
  HostCopies& host_copies() { return host_copies_; }

  /// Memory for work on the stream; null where there is none, and then take_shortage() tells.
  void* allocate(int64_t bytes) override;

  /// Memory that anyone may use, such as a tensor of the caller's.
  void* allocate_settled(int64_t bytes);

  /// Waits first where work that knows nothing of orders may still use the block.
  void free(void* block) override;

  /// Waits for all work; what it has freed is for everyone.
  Status wait();

  ArenaStats memory() const { return arena_->stats(); }

  /// Whether prepare() was done.
  bool is_ready();

  /// As memory(); the peak begins anew.
  ArenaStats take_memory();

  void shrink();

  /// The last allocation that failed, in bytes.
  struct Shortage {
    int64_t wanted = 0, in_use = 0, free = 0, total = 0;  // free: of the arena and of the device
  };

  /// Nothing is wanted where no allocation failed since the last call.
  Shortage take_shortage();

  /// Which kernels ran attention.
  struct AttentionUse {
    int64_t by_cudnn = 0, by_halo = 0;  // nodes, counted once a run that is not replayed
    std::string reason;                 // why not cuDNN, the last time
  };

  /// An empty reason: cuDNN's kernels run a node.
  void note_attention(const std::string& reason);

  /// Since the last call.
  AttentionUse take_attention_use();

  /// How runs that a session records came to be.
  struct RecordingUse {
    int64_t replayed = 0;  // runs that were replays of a recording
    int64_t launched = 0;  // runs whose nodes were launched one by one: the first of a recording, and those that asked for none
  };
  void note_replay() { ++recording_use_.replayed; }
  void note_launches() { ++recording_use_.launched; }

  /// Since the last call.
  RecordingUse take_recording_use() { return std::exchange(recording_use_, {}); }

  /// Work until end_recorded() takes its memory from what recordings have. They share it: their replays follow each other on the stream, and none finds
  /// there what it left. The memory stays with them until the last one is forgotten.
  void begin_recorded(bool is_captured);
  void end_recorded();
  bool is_capturing() const { return is_capturing_; }

  /// A recording more, and one less.
  void add_recording() { ++recordings_; }
  void drop_recording();

  /// Waits after each node, so that an error is that node's: HALO_CUDA_SYNC=1.
  bool is_checked() const { return is_checked_; }

 private:
  static constexpr Order kStreamOrder = 1, kRecordedOrder = 2;

  Device(int ordinal, const cudaDeviceProp& properties);
  Status make();
  void* allocate(int64_t bytes, Order order);

  int ordinal_;
  cudaDeviceProp properties_;
  bool is_checked_;
  std::mutex mutex_;
  bool is_ready_ = false;
  cudaStream_t stream_ = nullptr;
  std::unique_ptr<MappedMemory> memory_;
  std::unique_ptr<Arena> arena_;
  LtProducts products_;
  CudnnAttention attention_;
  Staging staging_;
  HostCopies host_copies_;
  Order order_ = kStreamOrder;
  bool is_capturing_ = false;
  int recordings_ = 0;
  Shortage shortage_;
  AttentionUse attention_use_;
  RecordingUse recording_use_;
};

}  // namespace halo::cuda
