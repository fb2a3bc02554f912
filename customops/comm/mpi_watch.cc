#include "comm/mpi_watch.h"

#include "comm/launched_ranks.h"

namespace halo::comm {

namespace {

/// How much later those speak that need not, and all where no process is seen to be stopped, which ranks of other machines may see.
constexpr double kOthersSeconds = 4, kUnseenSeconds = 2;

}  // namespace

Status MpiWatch::look() {
  const Clock::rep since = since_;
  if (since == 0) return {};
  const Clock::time_point now = Clock::now();
  if (std::chrono::duration<double>(now.time_since_epoch() - Clock::duration(since)).count() <= timeout_seconds_) return {};
  std::string stopped;
  int speaker = -1;
  for (const auto& [rank, process] : launched_ranks()) {
    if (process.state() == 'T') {
      stopped += (stopped.empty() ? "" : ", ") + describe(rank, process, Process::own());
    } else if (speaker < 0) {
      speaker = rank;
    }
  }
  if (!speaks_at_.has_value()) {  // once: afterwards the launcher ends ranks, and lets those go on that were stopped
    const double patience = (stopped.empty() ? kUnseenSeconds : 0) + (speaker == launched_rank() ? 0 : kOthersSeconds);
    speaks_at_ = now + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(patience));
  }
  if (now < *speaks_at_) return {};
  HALO_REQUIRE(false, "all ranks in " << function_.load() << " within " << timeout_seconds_ << " s",
               "nothing from " << (stopped.empty() ? "some of them, none of which is seen to be stopped on this machine" : stopped),
               "A rank hangs, was stopped or has ended: see its messages. Where it is only slow, raise rank_timeout.");
}

}  // namespace halo::comm
