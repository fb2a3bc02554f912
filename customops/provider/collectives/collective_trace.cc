#include "provider/collectives/collective_trace.h"

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <iomanip>
#include <string>

namespace halo::cuda {

Status CollectiveTrace::open(int rank, cudaStream_t stream, std::shared_ptr<CollectiveTrace>* made) {
  const char* name = std::getenv("HALO_COLLECTIVE_TRACE");
  if (name == nullptr || *name == '\0') return {};
  std::shared_ptr<CollectiveTrace> trace(new CollectiveTrace);
  const std::string path = std::string(name) + "." + std::to_string(rank);
  trace->file_.open(path, std::ios::trunc);
  HALO_REQUIRE(trace->file_.good(), "HALO_COLLECTIVE_TRACE with a file that can be written", "'" << path << "' (" << std::strerror(errno) << ")",
               "Name another, or unset it.");
  trace->file_ << std::fixed << std::setprecision(3) << "number\toperator\tnode\tbytes\tbegin\tend\twait_begin\twait_end\n" << std::flush;
  HALO_RETURN_IF_ERROR(trace->origin_.record(stream));
  *made = std::move(trace);
  return {};
}

void CollectiveTrace::write(const Run& run) {
  file_ << run.number << '\t' << comm::name_of(run.collective.kind) << '\t' << run.collective.node << '\t' << run.collective.sent_bytes();
  for (const Event* event : {&run.begin, &run.end, &run.wait_begin, &run.wait_end}) file_ << '\t' << time(*event);
  file_ << std::endl;  // a run may be killed
}

}  // namespace halo::cuda
