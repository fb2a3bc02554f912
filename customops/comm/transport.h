// How ranks reach each other: the one thing that a communicator needs of threads, of MPI or of a network.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <span>
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

/// One rank's end. Called on one thread, the communicator's own; places alone are asked on others too, once it is open.
class Transport {
 public:
  virtual ~Transport() = default;

  /// On the communicator's thread, before anything else.
  virtual Status open() = 0;

  /// Afterwards; `in_peace` where nothing failed, so that the others close as well.
  virtual void close(bool in_peace) = 0;

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

  /// Tells the others, so that they end as well.
  virtual void tell_failure(const std::string& cause) = 0;
};

/// What the message of another rank says it takes part in must be what this one does.
inline Status require_same(const Exchange& own, int peer, uint64_t digest, const std::string& what) {
  HALO_REQUIRE(own.digest == digest, "rank " << peer << " in " << own.what, what << " there", "Give all ranks the same model, settings, data and version.");
  return {};
}

inline Status require_in_time(const Exchange& own, const std::string& missing, double seconds) {
  HALO_REQUIRE(missing.empty(), "all ranks in " << own.what << " within " << seconds << " s", "nothing from " << missing,
               "It hangs, was stopped or has ended: see its messages. Where it is only slow, raise the time limit.");
  return {};
}

}  // namespace halo::comm
