// Ranks that are processes which mpirun or srun started.
#pragma once

#include <memory>

#include "comm/transport.h"

namespace halo::comm {

/// Rank, ranks and those of one machine are MPI's, which may be opened once a process.
std::unique_ptr<Transport> mpi_transport(double timeout_seconds);

}  // namespace halo::comm
