// Calls of MPI that wait for all ranks and know no limit: MPI_Init_thread, MPI_Finalize. Looked after by another thread.
#pragma once

#include <atomic>
#include <optional>

#include "comm/transport.h"

namespace halo::comm {

class MpiWatch {
 public:
  explicit MpiWatch(double timeout_seconds) : timeout_seconds_(timeout_seconds) {}

  /// Calls f, which calls MPI; a thread that hangs in it is seen by look().
  template <class F>
  auto during(const char* function, F&& f) {
    function_ = function;
    since_ = Clock::now().time_since_epoch().count();
    auto result = f();
    since_ = 0;
    return result;
  }

  /// An error where a call lasts for longer than the limit: one rank says it at once, the others, whom the launcher ends with it, some seconds later.
  Status look();

 private:
  const double timeout_seconds_;
  std::atomic<const char*> function_ = "";
  std::atomic<Clock::rep> since_ = 0;           // 0: no call is under way
  std::optional<Clock::time_point> speaks_at_;  // of look()
};

}  // namespace halo::comm
