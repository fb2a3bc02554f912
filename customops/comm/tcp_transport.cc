#include "comm/tcp_transport.h"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <vector>

#include "comm/tcp_control.h"
#include "comm/tcp_meeting.h"

namespace halo::comm {

namespace {

/// Before the bytes of an exchange: what the sender takes part in.
struct Header {
  uint64_t digest = 0;
  char what[1016] = {};
};

/// What is under way with one peer: a header and bytes each way.
struct Conversation {
  int peer = 0;
  Header out, in;
  Piece send{}, receive{};
  size_t sent = 0, received = 0;

  size_t to_send() const { return sizeof(Header) + static_cast<size_t>(send.bytes) - sent; }
  size_t to_receive() const { return sizeof(Header) + static_cast<size_t>(receive.bytes) - received; }
  bool is_over() const { return to_send() == 0 && to_receive() == 0; }
};

/// The bytes that come next of a header with a piece behind it: where they lie, and how many are left there.
std::pair<char*, size_t> next_of(Header& header, const Piece& piece, size_t done) {
  if (done < sizeof header) return {reinterpret_cast<char*>(&header) + done, sizeof header - done};
  done -= sizeof header;
  return {static_cast<char*>(piece.data) + done, static_cast<size_t>(piece.bytes) - done};
}

class TcpTransport final : public Transport {
 public:
  TcpTransport(std::string address, int port, int rank, int world, int ranks_per_node, double timeout_seconds)
      : address_(std::move(address)), port_(port), rank_(rank), world_(world), ranks_per_node_(ranks_per_node), timeout_seconds_(timeout_seconds) {}

  Status open() override {
    const auto until = Clock::now() + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(timeout_seconds_));
    Peers peers;
    HALO_RETURN_IF_ERROR(meet_by_tcp(address_, port_, rank_, world_, until, &peers));
    peers_ = std::move(peers.data);
    processes_ = std::move(peers.processes);
    control_.open(std::move(peers.control));
    return {};
  }

  /// A connection that is closed before all are at the end is a rank that has ended.
  void close(bool in_peace) override {
    Exchange end{.what = "the end", .digest = 0, .sends = {}, .receives = {}};
    for (int peer = 0; peer < world_; ++peer) {
      if (peer == rank_) continue;
      end.sends.push_back({peer, nullptr, 0});
      end.receives.push_back({peer, nullptr, 0});
    }
    if (in_peace) static_cast<void>(exchange(end));
    peers_.clear();
    control_.close();
  }

  int rank() const override { return rank_; }
  int world() const override { return world_; }
  int ranks_per_node() const override { return ranks_per_node_; }
  double timeout_seconds() const override { return timeout_seconds_; }

  Status exchange(const Exchange& exchange) override {
    last_ = exchange.what;
    std::vector<Conversation> conversations(exchange.sends.size());
    for (size_t i = 0; i < conversations.size(); ++i) {
      Conversation& c = conversations[i];
      c.peer = exchange.sends[i].peer;
      c.out.digest = exchange.digest;
      std::strncpy(c.out.what, exchange.what.c_str(), sizeof c.out.what - 1);
      c.send = exchange.sends[i];
      c.receive = *std::find_if(exchange.receives.begin(), exchange.receives.end(), [&](const Piece& piece) { return piece.peer == c.peer; });
    }
    return converse(exchange, &conversations);
  }

  Status look_for_failure() override {
    Exchange step{.what = "what follows " + last_, .digest = 0, .sends = {}, .receives = {}};
    HALO_RETURN_IF_ERROR(heed(step));
    for (int peer = 0; peer < world_; ++peer) {
      if (peer != rank_ && control_.is_closed(peer)) return gone(step.what, peer, described(peer) + ", which has ended");
    }
    return {};
  }

  void tell_failure(int speaker, const std::string& cause) override { control_.tell(FailureNotice(rank_, speaker, cause)); }

  bool hears_failure(int rank, double seconds) override {
    const auto until = Clock::now() + std::chrono::duration<double>(seconds);
    for (;;) {
      control_.listen();
      if (control_.failure_of(rank) != nullptr) return true;
      if (control_.is_closed(rank) || Clock::now() > until) return false;
      pollfd waited{.fd = control_.descriptor(rank), .events = POLLIN, .revents = 0};
      static_cast<void>(::poll(&waited, 1, 50));
    }
  }

 private:
  const Socket& socket_of(int peer) const { return peers_[static_cast<size_t>(peer)]; }

  /// Says that this rank is there, and hears whether another one has failed.
  Status heed(const Exchange& exchange) {
    control_.beat();
    control_.listen();
    const FailureNotice* failure = control_.failure();
    return failure == nullptr ? Status() : told(exchange.what, *failure);
  }

  Status converse(const Exchange& exchange, std::vector<Conversation>* conversations) {
    const double limit = exchange.timeout_seconds > 0 ? exchange.timeout_seconds : timeout_seconds_;
    auto last = Clock::now();
    for (;;) {
      HALO_RETURN_IF_ERROR(heed(exchange));
      std::vector<pollfd> waited;
      std::vector<Conversation*> talking;
      for (Conversation& c : *conversations) {
        if (c.is_over()) continue;
        const auto events = static_cast<short>((c.to_send() > 0 ? POLLOUT : 0) | (c.to_receive() > 0 ? POLLIN : 0));
        waited.push_back({.fd = socket_of(c.peer).get(), .events = events, .revents = 0});
        talking.push_back(&c);
      }
      if (talking.empty()) return {};
      for (int peer = 0; peer < world_; ++peer) {
        if (peer != rank_ && !control_.is_closed(peer)) waited.push_back({.fd = control_.descriptor(peer), .events = POLLIN, .revents = 0});
      }
      if (::poll(waited.data(), waited.size(), 100) < 0 && errno != EINTR) return socket_error("sockets to wait for");
      bool moved = false;
      for (size_t i = 0; i < talking.size(); ++i) {
        if (waited[i].revents != 0) HALO_RETURN_IF_ERROR(advance(exchange, talking[i], &moved));
      }
      if (moved) last = Clock::now();
      if (std::chrono::duration<double>(Clock::now() - last).count() > limit) return too_late(exchange, missing(*conversations), limit);
      // What one rank does for all may take longer than its messages, but it says meanwhile that it is there.
      std::vector<int> silent;
      for (const int peer : missing(*conversations)) {
        if (control_.silent_seconds(peer) > timeout_seconds_) silent.push_back(peer);
      }
      if (!silent.empty()) return too_late(exchange, silent, timeout_seconds_);
    }
  }

  /// Reads and writes what can be read and written at once. Only bytes that come are a sign of life.
  Status advance(const Exchange& exchange, Conversation* c, bool* moved) {
    while (c->to_receive() > 0) {
      const auto [data, bytes] = next_of(c->in, c->receive, c->received);
      const ssize_t now = ::recv(socket_of(c->peer).get(), data, bytes, MSG_DONTWAIT);
      if (now < 0 && (errno == EAGAIN || errno == EINTR)) break;
      if (now <= 0) return ended(exchange, c->peer);
      c->received += static_cast<size_t>(now);
      *moved = true;
      if (c->received != sizeof(Header)) continue;
      HALO_RETURN_IF_ERROR(require_same(exchange, c->peer, c->in.digest, c->in.what));
    }
    while (c->to_send() > 0) {
      const auto [data, bytes] = next_of(c->out, c->send, c->sent);
      const ssize_t now = ::send(socket_of(c->peer).get(), data, bytes, MSG_NOSIGNAL | MSG_DONTWAIT);
      if (now < 0 && (errno == EAGAIN || errno == EINTR)) break;
      if (now < 0) return ended(exchange, c->peer);
      c->sent += static_cast<size_t>(now);
      *moved = true;
    }
    return {};
  }

  /// Its end may follow from a failure that it has told, or another one is about to tell.
  Status ended(const Exchange& exchange, int peer) {
    static_cast<void>(hears_failure(peer, 0.1));
    HALO_RETURN_IF_ERROR(heed(exchange));
    return gone(exchange.what, peer, described(peer) + ", which has ended");
  }

  using Transport::too_late;

  Status too_late(const Exchange& exchange, const std::vector<int>& ranks, double seconds) {
    std::string text;
    for (const int peer : ranks) text += (text.empty() ? "" : ", ") + described(peer);
    return too_late(exchange, ranks, text, seconds);
  }

  std::string described(int rank) const { return describe(rank, processes_[static_cast<size_t>(rank)], processes_[static_cast<size_t>(rank_)]); }

  static std::vector<int> missing(const std::vector<Conversation>& conversations) {
    std::vector<int> ranks;
    for (const Conversation& c : conversations) {
      if (!c.is_over()) ranks.push_back(c.peer);
    }
    return ranks;
  }

  const std::string address_;
  const int port_, rank_, world_, ranks_per_node_;
  const double timeout_seconds_;
  std::vector<Socket> peers_;
  std::vector<Process> processes_;
  Control control_;
  std::string last_ = "the first meeting";  // the last exchange, for people
};

}  // namespace

std::unique_ptr<Transport> tcp_transport(const std::string& address, int port, int rank, int world, int ranks_per_node, double timeout_seconds) {
  return std::make_unique<TcpTransport>(address, port, rank, world, ranks_per_node, timeout_seconds);
}

}  // namespace halo::comm
