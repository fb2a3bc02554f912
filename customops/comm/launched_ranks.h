// Processes of this machine that one launcher has started as ranks, as their environment tells before MPI brings them together.
#pragma once

#include <string>
#include <vector>

#include "comm/process.h"

namespace halo::comm {

struct LaunchedRank {
  int rank;
  Process process;  // where a script has started the rank there are several, of which one that is stopped counts
};

/// By rank; those of the launcher that started this process. Empty where none did, or one that does not speak PMIx.
std::vector<LaunchedRank> launched_ranks();

/// This process's rank; -1 where no launcher tells.
int launched_rank();

}  // namespace halo::comm
