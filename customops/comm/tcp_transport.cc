#include "comm/tcp_transport.h"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <vector>

#include "comm/socket.h"

namespace halo::comm {

namespace {

constexpr uint64_t kMagic = 0x4F4C4148'00000001;  // "HALO", version 1
constexpr uint64_t kFailed = 1;

/// Before the bytes of an exchange: what the sender takes part in; or why it has failed.
struct Header {
  uint64_t failed = 0, digest = 0;
  char what[1008] = {};
};

/// What a rank says when it comes, and where the others find it.
struct Greeting {
  uint64_t magic = kMagic;
  int32_t rank = 0, world = 0, port = 0;
  char address[64] = {};
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
    peers_.resize(static_cast<size_t>(world_));
    const auto until = Clock::now() + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(timeout_seconds_));
    HALO_RETURN_IF_ERROR(rank_ == 0 ? be_met(until) : meet(until));
    for (const Socket& peer : peers_) {
      if (peer.is_open()) HALO_RETURN_IF_ERROR(peer.become_asynchronous());
    }
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
  }

  int rank() const override { return rank_; }
  int world() const override { return world_; }
  int ranks_per_node() const override { return ranks_per_node_; }
  double timeout_seconds() const override { return timeout_seconds_; }

  Status exchange(const Exchange& exchange) override {
    std::vector<Conversation> conversations(exchange.sends.size());
    for (size_t i = 0; i < conversations.size(); ++i) {
      Conversation& c = conversations[i];
      c.peer = exchange.sends[i].peer;
      c.out.digest = exchange.digest;
      std::strncpy(c.out.what, exchange.what.c_str(), sizeof c.out.what - 1);
      c.send = exchange.sends[i];
      c.receive = *std::find_if(exchange.receives.begin(), exchange.receives.end(), [&](const Piece& piece) { return piece.peer == c.peer; });
    }
    const Status status = converse(exchange, &conversations);
    for (const Conversation& c : conversations) {  // a rank in the middle of bytes cannot be told: it sees the connection end
      if (!status.ok() && c.sent != 0 && c.to_send() != 0) peers_[static_cast<size_t>(c.peer)] = Socket();
    }
    return status;
  }

  Status look_for_failure() override {
    for (int peer = 0; peer < world_; ++peer) {
      if (!socket_of(peer).is_open()) continue;
      Header header;
      const ssize_t bytes = ::recv(socket_of(peer).get(), &header, sizeof header, MSG_PEEK | MSG_DONTWAIT);
      HALO_REQUIRE(bytes != 0, "ranks that go on", "rank " << peer << ", which has ended", "See its messages. Resume from the last checkpoint.");
      if (bytes == sizeof header && header.failed == kFailed) return told("every step", header);
    }
    return {};
  }

  void tell_failure(const std::string& cause) override {
    if (was_told_) return;
    Header header{.failed = kFailed};
    std::strncpy(header.what, ("rank " + std::to_string(rank_) + ": " + cause).c_str(), sizeof header.what - 1);
    for (const Socket& peer : peers_) {
      if (peer.is_open()) static_cast<void>(::send(peer.get(), &header, sizeof header, MSG_NOSIGNAL | MSG_DONTWAIT));
    }
  }

 private:
  const Socket& socket_of(int peer) const { return peers_[static_cast<size_t>(peer)]; }

  Greeting greeting(int port) const {
    Greeting made;
    made.rank = rank_;
    made.world = world_;
    made.port = port;
    return made;
  }

  Status receive_greeting(const Socket& from, Clock::time_point until, Greeting* greeting) const {
    HALO_RETURN_IF_ERROR(from.receive(greeting, sizeof *greeting, until));
    HALO_REQUIRE(greeting->magic == kMagic && greeting->world == world_ && greeting->rank > 0 && greeting->rank < world_,
                 "a rank of " << world_ << " of this version", "rank " << greeting->rank << " of " << greeting->world,
                 "Start all ranks with the same number of them and the same version.");
    HALO_REQUIRE(!socket_of(greeting->rank).is_open(), "each rank once", "rank " << greeting->rank << " twice", "Give each rank its own number.");
    return {};
  }

  /// Rank 0: waits for all, and tells all where the others are.
  Status be_met(Clock::time_point until) {
    if (world_ == 1) return {};
    Socket door;
    int port = port_;
    HALO_RETURN_IF_ERROR(Socket::listen(&port, &door));
    std::vector<Greeting> all(static_cast<size_t>(world_));
    for (int i = 1; i < world_; ++i) {
      Socket peer;
      std::string address;
      HALO_RETURN_IF_ERROR(door.accept(until, &peer, &address));
      Greeting greeting;
      HALO_RETURN_IF_ERROR(receive_greeting(peer, until, &greeting));
      std::strncpy(greeting.address, address.c_str(), sizeof greeting.address - 1);
      all[static_cast<size_t>(greeting.rank)] = greeting;
      peers_[static_cast<size_t>(greeting.rank)] = std::move(peer);
    }
    for (int peer = 1; peer < world_; ++peer) HALO_RETURN_IF_ERROR(socket_of(peer).send(all.data(), all.size() * sizeof(Greeting)));
    return {};
  }

  /// Others: come to rank 0, then to those below, and wait for those above.
  Status meet(Clock::time_point until) {
    Socket door;
    int port = 0;
    HALO_RETURN_IF_ERROR(Socket::listen(&port, &door));
    const Greeting own = greeting(port);
    HALO_RETURN_IF_ERROR(Socket::connect(address_, port_, until, &peers_[0]));
    HALO_RETURN_IF_ERROR(socket_of(0).send(&own, sizeof own));
    std::vector<Greeting> all(static_cast<size_t>(world_));
    HALO_RETURN_IF_ERROR(socket_of(0).receive(all.data(), all.size() * sizeof(Greeting), until));
    for (int peer = 1; peer < rank_; ++peer) {
      const Greeting& other = all[static_cast<size_t>(peer)];
      HALO_RETURN_IF_ERROR(Socket::connect(other.address, other.port, until, &peers_[static_cast<size_t>(peer)]));
      HALO_RETURN_IF_ERROR(socket_of(peer).send(&own, sizeof own));
    }
    for (int i = rank_ + 1; i < world_; ++i) {
      Socket peer;
      std::string address;
      Greeting greeting;
      HALO_RETURN_IF_ERROR(door.accept(until, &peer, &address));
      HALO_RETURN_IF_ERROR(receive_greeting(peer, until, &greeting));
      peers_[static_cast<size_t>(greeting.rank)] = std::move(peer);
    }
    return {};
  }

  Status converse(const Exchange& exchange, std::vector<Conversation>* conversations) {
    const double limit = exchange.timeout_seconds > 0 ? exchange.timeout_seconds : timeout_seconds_;
    auto last = Clock::now();
    for (;;) {
      std::vector<pollfd> waited;
      std::vector<Conversation*> talking;
      for (Conversation& c : *conversations) {
        if (c.is_over()) continue;
        HALO_REQUIRE(socket_of(c.peer).is_open(), "all ranks in " << exchange.what, "rank " << c.peer << " gone", "See its messages.");
        const auto events = static_cast<short>((c.to_send() > 0 ? POLLOUT : 0) | (c.to_receive() > 0 ? POLLIN : 0));
        waited.push_back({.fd = socket_of(c.peer).get(), .events = events, .revents = 0});
        talking.push_back(&c);
      }
      if (talking.empty()) return {};
      if (::poll(waited.data(), waited.size(), 100) < 0 && errno != EINTR) return socket_error("sockets to wait for");
      bool moved = false;
      for (size_t i = 0; i < talking.size(); ++i) {
        if (waited[i].revents != 0) HALO_RETURN_IF_ERROR(advance(exchange, *conversations, talking[i], &moved));
      }
      if (moved) last = Clock::now();
      if (std::chrono::duration<double>(Clock::now() - last).count() > limit) return require_in_time(exchange, missing(*conversations), limit);
    }
  }

  /// Reads and writes what can be read and written at once. Only bytes that come are a sign of life.
  Status advance(const Exchange& exchange, const std::vector<Conversation>& conversations, Conversation* c, bool* moved) {
    while (c->to_receive() > 0) {
      const auto [data, bytes] = next_of(c->in, c->receive, c->received);
      const ssize_t now = ::recv(socket_of(c->peer).get(), data, bytes, MSG_DONTWAIT);
      if (now < 0 && (errno == EAGAIN || errno == EINTR)) break;
      if (now <= 0) return ended(exchange, conversations, c->peer);
      c->received += static_cast<size_t>(now);
      *moved = true;
      if (c->received != sizeof(Header)) continue;
      if (c->in.failed == kFailed) return told(exchange.what, c->in);
      HALO_RETURN_IF_ERROR(require_same(exchange, c->peer, c->in.digest, c->in.what));
    }
    while (c->to_send() > 0) {
      const auto [data, bytes] = next_of(c->out, c->send, c->sent);
      const ssize_t now = ::send(socket_of(c->peer).get(), data, bytes, MSG_NOSIGNAL | MSG_DONTWAIT);
      if (now < 0 && (errno == EAGAIN || errno == EINTR)) break;
      if (now < 0) return ended(exchange, conversations, c->peer);
      c->sent += static_cast<size_t>(now);
      *moved = true;
    }
    return {};
  }

  /// Its end may follow from a failure that another rank has told, or is about to.
  Status ended(const Exchange& exchange, const std::vector<Conversation>& conversations, int peer) {
    for (const Conversation& c : conversations) {
      const bool is_between = c.received == 0 || c.to_receive() == 0;  // a header comes next
      Header header;
      if (is_between && is_failure(c.peer, &header)) return told(exchange.what, header);
    }
    return refuse(__FILE__, __LINE__, "all ranks in " + exchange.what, "rank " + std::to_string(peer) + ", which has ended",
                  "See its messages, and the system's: it may have been killed for want of memory. Resume from the last checkpoint.");
  }

  /// Whether a failure can be read from a peer; leaves it there.
  bool is_failure(int peer, Header* header) const {
    return ::recv(socket_of(peer).get(), header, sizeof *header, MSG_PEEK | MSG_DONTWAIT) == sizeof *header && header->failed == kFailed;
  }

  Status told(const std::string& what, const Header& header) {
    was_told_ = true;
    HALO_REQUIRE(header.failed != kFailed, "all ranks in " << what, header.what, "See the messages of that rank.");
    return {};
  }

  static std::string missing(const std::vector<Conversation>& conversations) {
    std::string text;
    for (const Conversation& c : conversations) {
      if (!c.is_over()) text += (text.empty() ? "rank " : ", rank ") + std::to_string(c.peer);
    }
    return text;
  }

  const std::string address_;
  const int port_, rank_, world_, ranks_per_node_;
  const double timeout_seconds_;
  std::vector<Socket> peers_;
  bool was_told_ = false;
};

}  // namespace

std::unique_ptr<Transport> tcp_transport(const std::string& address, int port, int rank, int world, int ranks_per_node, double timeout_seconds) {
  return std::make_unique<TcpTransport>(address, port, rank, world, ranks_per_node, timeout_seconds);
}

}  // namespace halo::comm
