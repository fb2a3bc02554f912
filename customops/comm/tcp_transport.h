// Ranks that are processes which find each other at an address, without MPI.
#pragma once

#include <memory>
#include <string>

#include "comm/transport.h"

namespace halo::comm {

/// Rank 0 listens at `port`, the others come to `address`; then each has a connection to each.
std::unique_ptr<Transport> tcp_transport(const std::string& address, int port, int rank, int world, int ranks_per_node, double timeout_seconds);

}  // namespace halo::comm
