// Ranks that are threads of one process: bytes are copied from memory to memory.
#pragma once

#include <memory>
#include <string>

#include "comm/transport.h"

namespace halo::comm {

/// The end of `rank` of the world called `name`, which its first rank makes and its last one ends.
std::unique_ptr<Transport> threads_transport(const std::string& name, int rank, int world, int ranks_per_node, double timeout_seconds);

}  // namespace halo::comm
