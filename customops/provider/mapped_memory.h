// A device's memory behind one reserved range of addresses, by the driver's virtual memory management.
#pragma once

#include <memory>
#include <string>

#include "common/arena.h"
#include "common/status.h"

namespace halo::cuda {

class MappedMemory final : public Backing {
 public:
  /// Reserves addresses for `bytes`, backed by nothing yet. The device's context must be current.
  static Status reserve(int ordinal, int64_t bytes, std::unique_ptr<MappedMemory>* memory);
  ~MappedMemory() override;

  char* base() const override;
  int64_t reserved_bytes() const override;
  int64_t granularity() const override;
  bool grow(int64_t mapped, int64_t bytes) override;
  int64_t shrink(int64_t wanted) override;

 private:
  struct State;
  explicit MappedMemory(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace halo::cuda
