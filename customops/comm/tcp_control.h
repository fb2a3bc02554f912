// What ranks say beside their exchanges, on connections of its own: that they are there, and why one ends.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "comm/socket.h"

namespace halo::comm {

class Control {
 public:
  /// By rank; closed where there is none.
  void open(std::vector<Socket> sockets);

  void close() { peers_.clear(); }

  /// Says that this rank is there, at most five times a second. A process that is stopped says nothing.
  void beat();

  /// Hears what has come.
  void listen();

  void tell(const FailureNotice& failure);

  /// What a rank has told; of any rank, the first.
  const FailureNotice* failure_of(int rank) const { return peer(rank).failure ? &*peer(rank).failure : nullptr; }
  const FailureNotice* failure() const;

  /// The rank has ended.
  bool is_closed(int rank) const { return !peer(rank).socket.is_open(); }

  /// How long nothing has come of it.
  double silent_seconds(int rank) const { return std::chrono::duration<double>(Clock::now() - peer(rank).heard).count(); }

  int descriptor(int rank) const { return peer(rank).socket.get(); }

 private:
  struct Peer {
    Socket socket;
    Clock::time_point heard;
    std::string unread;
    std::optional<FailureNotice> failure;
  };

  const Peer& peer(int rank) const { return peers_[static_cast<size_t>(rank)]; }
  static void hear(Peer* peer);

  std::vector<Peer> peers_;
  Clock::time_point said_{};
};

}  // namespace halo::comm
