// Open MPI, opened at first use.
#pragma once

#include "comm/mpi_api.h"
#include "common/status.h"

namespace halo::comm::mpi {

/// The library's functions; the same at each call. `api` stays valid for as long as the process runs.
::halo::Status open_library(const Api** api);

}  // namespace halo::comm::mpi
