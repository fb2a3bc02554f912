// A collective as it was started.
#pragma once

#include <cstdint>
#include <optional>

#include "comm/communicator.h"
#include "provider/collectives/event.h"

namespace halo::cuda {

/// A collective that was started, with the times of what is known of it.
struct Run {
  comm::Collective collective;
  int64_t number = 0;                            // in the order of starts
  std::optional<comm::Clock::time_point> begun;  // when that was first seen
  Event ready, begin, end, wait_begin, wait_end;
  Event joined;  // where it is recorded, what its wait waits for
  void* staging = nullptr;
};

}  // namespace halo::cuda
