// How ranks reach each other: the one thing that a communicator needs of threads, of MPI or of a network.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <span>
#include <sstream>
#include <string>
#include <vector>

#include "common/status.h"

namespace halo::comm {

using Clock = std::chrono::steady_clock;

/// Bytes to or from another rank of the world.
struct Piece {
  int peer;
  void* data;
  int64_t bytes;
};

/// One exchange of bytes between ranks. There is at most one piece from and to each peer; one without bytes is a piece as well.
struct Exchange {
  std::string what;     // for people: the collective and its node
  uint64_t digest = 0;  // of what must be the same on all ranks that take part
  std::vector<Piece> sends;
  std::vector<Piece> receives;
  double timeout_seconds = 0;  // 0: the transport's own limit
};

/// A failure as a rank tells it to the others.
struct FailureNotice {
  int32_t speaker = 0;
  char text[2044] = {};  // "rank 2: .."

  FailureNotice() = default;
  FailureNotice(int rank, int speaking, const std::string& cause) : speaker(speaking) {
    std::strncpy(text, ("rank " + std::to_string(rank) + ": " + cause).c_str(), sizeof text - 1);
  }

  /// With the end of the text, which is mostly short.
  size_t bytes() const { return offsetof(FailureNotice, text) + std::strlen(text) + 1; }
};

/// Why an exchange failed, beside its error.
struct Trouble {
  int speaker = -1;       // the rank that is to say it to people, so that it is said once; -1: this one
  std::string told;       // "rank 2: ..", where another rank told it
  std::vector<int> lost;  // these hear nothing any more
};

/// One rank's end. Called on one thread, the communicator's own; places alone are asked on others too, once it is open.
class Transport {
 public:
  virtual ~Transport() = default;

  /// On the communicator's thread, before anything else.
  virtual Status open() = 0;

  /// Afterwards; `in_peace` where nothing failed, so that the others close as well.
  virtual void close(bool in_peace) = 0;

  /// Of open() and close(), asked on another thread meanwhile: an error where a library's call has not come back and is not to be waited for any longer.
  virtual Status look_at_library() { return {}; }

  virtual int rank() const = 0;
  virtual int world() const = 0;

  /// Ranks of one machine, which lie one behind the other.
  virtual int ranks_per_node() const = 0;

  /// Returns when all is sent and received. An error names the rank that failed, did not come within the time limit, or does something else.
  virtual Status exchange(const Exchange& exchange) = 0;

  /// An error where another rank has told its failure. Asked now and then while there is nothing to exchange.
  virtual Status look_for_failure() = 0;

  /// How long an exchange waits for others.
  virtual double timeout_seconds() const = 0;

  /// Tells the others, so that they end as well, and which rank is to say it.
  virtual void tell_failure(int speaker, const std::string& cause) = 0;

  /// Whether a rank tells a failure within so long.
  virtual bool hears_failure(int rank, double seconds) = 0;

  /// Of the last error.
  const Trouble& trouble() const { return trouble_; }

 protected:
  /// Something is wrong that more than one rank may see: the lowest one that is not lost is to say it.
  void lose(const std::vector<int>& ranks) {
    trouble_ = {.speaker = 0, .told = {}, .lost = ranks};
    while (std::find(ranks.begin(), ranks.end(), trouble_.speaker) != ranks.end()) ++trouble_.speaker;
  }

  /// What the message of another rank says it takes part in must be what this one does.
  Status require_same(const Exchange& own, int peer, uint64_t digest, const std::string& what) {
    if (own.digest != digest) lose({});
    HALO_REQUIRE(own.digest == digest, "rank " << peer << " in " << own.what, what << " there", "Give all ranks the same model, settings, data and version.");
    return {};
  }

  /// The error that some did not come in time. `text` names them.
  Status too_late(const Exchange& own, const std::vector<int>& ranks, const std::string& text, double seconds) {
    lose(ranks);
    std::ostringstream expected;
    expected << "all ranks in " << own.what << " within " << seconds << " s";
    return refuse(__FILE__, __LINE__, expected.str(), "nothing from " + text,
                  "It hangs, was stopped or has ended: see its messages. Where it is only slow, raise rank_timeout.");
  }

  /// The error that a rank has ended, and told nothing.
  Status gone(const std::string& what, int rank, const std::string& text) {
    lose({rank});
    return refuse(__FILE__, __LINE__, "all ranks in " + what, text,
                  "See its messages, and the system's: it may have been killed for want of memory. Resume from the last checkpoint.");
  }

  /// The error that another rank tells.
  Status told(const std::string& what, const FailureNotice& notice) {
    trouble_ = {.speaker = notice.speaker, .told = notice.text, .lost = {}};
    return refuse(__FILE__, __LINE__, "all ranks in " + what, notice.text, "See the messages of that rank.");
  }

  Trouble trouble_;
};

}  // namespace halo::comm
