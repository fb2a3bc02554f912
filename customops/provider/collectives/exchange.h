// How bytes come from one GPU to others, in the order of a stream.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "comm/communicator.h"
#include "common/status.h"
#include "provider/device.h"

namespace halo::cuda {

/// What one rank sends to another and gets from it.
struct PeerTransfer {
  int peer;  // rank of the world
  const void* out;
  int64_t out_bytes;
  void* in;
  int64_t in_bytes;
};

class Exchange {
 public:
  virtual ~Exchange() = default;

  /// Sends and receives, all at once. All ranks call it in the same order; both ends leave out what has no bytes. What is sent may be overwritten, and what is
  /// received be read, by what follows on the stream.
  virtual Status run(const std::vector<PeerTransfer>& transfers, cudaStream_t stream) = 0;

  /// What went wrong since, for people; "" where nothing did.
  virtual std::string problem() { return ""; }

  /// Whether exchanges may be recorded and replayed, all ranks doing the same in the same order.
  virtual bool is_recordable() const { return false; }

  /// Lets streams that wait for other ranks go on, although they are gone; called again and again while there are any. Nothing can be exchanged afterwards.
  /// From any thread.
  virtual void abort() = 0;
};

/// By NCCL, opened here; also between machines.
Status nccl_exchange(Device& device, comm::Communicator& communicator, std::unique_ptr<Exchange>* made);

/// By copies into each other's memory, which occupy no multiprocessor: for GPUs of one machine that reach each other's memory.
Status copy_exchange(Device& device, comm::Communicator& communicator, std::unique_ptr<Exchange>* made);

}  // namespace halo::cuda
