// Processes of ranks, of which those of this machine can be looked after.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "comm/process.h"

namespace halo::comm {

class MpiNeighbours {
 public:
  /// None is known.
  MpiNeighbours() = default;

  /// `processes` are those of the ranks, in order, of which `own` is this one's.
  MpiNeighbours(int own, std::vector<Process> processes) : own_(own), processes_(std::move(processes)) {}

  /// "rank 2 (process 4711)", as far as it is known.
  std::string described(int rank) const { return processes_.empty() ? "rank " + std::to_string(rank) : describe(rank, of(rank), of(own_)); }

  /// Seen to be; not where the process is of another machine, or not known yet.
  bool is_stopped(int rank) const { return is_known(rank) && of(rank).state() == 'T'; }
  bool has_ended(int rank) const {
    const char state = is_known(rank) ? of(rank).state() : 'R';
    return state == 0 || state == 'Z' || state == 'X';
  }

 private:
  bool is_known(int rank) const { return !processes_.empty() && of(rank).is_beside(of(own_)); }
  const Process& of(int rank) const { return processes_[static_cast<size_t>(rank)]; }

  int own_ = 0;
  std::vector<Process> processes_;
};

}  // namespace halo::comm
