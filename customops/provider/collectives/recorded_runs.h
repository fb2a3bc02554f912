// The collectives of a recording.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "comm/communicator.h"
#include "provider/collectives/collective_trace.h"
#include "provider/collectives/event.h"
#include "provider/collectives/run.h"
#include "provider/device.h"
#include "provider/recorded_work.h"

namespace halo::cuda {

/// What to say of a collective that is not over in time.
std::string late_text(const comm::Collective& collective, double timeout_seconds);

/// The collectives of one recording: counted for each replay, and watched.
class RecordedRuns final : public RecordedWork {
 public:
  /// `trace` may be null.
  RecordedRuns(Device& device, comm::Communicator& communicator, std::shared_ptr<CollectiveTrace> trace)
      : device_(device), communicator_(communicator), trace_(std::move(trace)) {}

  void add(Run run);
  void end() override;
  bool is_open() const { return is_open_; }

  /// Where a replay follows another before that is over, the times of the one before it count twice.
  Status before_replay() override;
  Status after_replay() override;

  /// Counts the last replay where it is over.
  void settle();

  /// What to say of a collective of the replay under way that is not over in time; "" where all is well.
  std::string find_late();

 private:
  struct Times {
    double ran = 0, waited = 0;
  };

  void count();

  Device& device_;
  comm::Communicator& communicator_;
  std::shared_ptr<CollectiveTrace> trace_;
  std::mutex mutex_;
  std::vector<Run> runs_;     // once they are all: in the order of their starts
  std::vector<Times> times_;  // of the last replay that was over
  Event replay_begin_, replay_end_;
  bool is_open_ = true, is_counted_ = true;
  size_t first_left_ = 0;                        // of the replay under way: runs before it are over
  std::optional<comm::Clock::time_point> seen_;  // when that was first seen to have begun
};

}  // namespace halo::cuda
