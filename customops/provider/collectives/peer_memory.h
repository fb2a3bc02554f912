// A GPU's memory that processes of the same machine map, each into its own addresses.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "common/status.h"

namespace halo::cuda {

class PeerMemory {
 public:
  /// On the current device, filled with zeros.
  static Status allocate(int64_t bytes, std::unique_ptr<PeerMemory>* made);

  /// That of another process, which must live longer. The current device has to reach the other's memory.
  static Status open(const std::string& handle, std::unique_ptr<PeerMemory>* made);

  ~PeerMemory();
  PeerMemory(const PeerMemory&) = delete;
  PeerMemory& operator=(const PeerMemory&) = delete;

  char* data() const { return data_; }

  /// Names it to other processes.
  const std::string& handle() const { return handle_; }

 private:
  PeerMemory() = default;

  char* data_ = nullptr;
  int64_t bytes_ = 0;
  std::string handle_;
  bool is_own_ = false;
};

}  // namespace halo::cuda
