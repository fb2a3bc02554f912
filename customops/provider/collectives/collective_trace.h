// When each collective ran and was waited for, as the GPU stamps it: HALO_COLLECTIVE_TRACE names a file, of which each rank writes its own.
#pragma once

#include <cuda_runtime_api.h>

#include <fstream>
#include <memory>

#include "common/status.h"
#include "provider/collectives/run.h"

namespace halo::cuda {

class CollectiveTrace {
 public:
  /// FILE.RANK; null where the variable is not set. Times count from when `stream` comes here.
  static Status open(int rank, cudaStream_t stream, std::shared_ptr<CollectiveTrace>* made);

  /// Of a collective that is over and was waited for: number, operator, node, bytes sent, and in ms begin and end, begin and end of the wait; tabs between.
  void write(const Run& run);

 private:
  CollectiveTrace() = default;
  double time(const Event& event) const { return 1e3 * seconds_between(origin_, event); }

  std::ofstream file_;
  Event origin_;
};

}  // namespace halo::cuda
