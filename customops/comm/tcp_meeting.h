// How processes find each other by TCP.
#pragma once

#include <string>
#include <vector>

#include "comm/process.h"
#include "comm/socket.h"

namespace halo::comm {

/// The others, by rank: connections for the bytes of exchanges, others for what has to come through meanwhile, and which processes they are.
struct Peers {
  std::vector<Socket> data, control;
  std::vector<Process> processes;
};

/// Rank 0 listens at `port`, the others come to `address`; then each has both connections to each.
Status meet_by_tcp(const std::string& address, int port, int rank, int world, Clock::time_point until, Peers* peers);

}  // namespace halo::comm
