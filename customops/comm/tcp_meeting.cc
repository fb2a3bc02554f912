#include "comm/tcp_meeting.h"

#include <cstring>

namespace halo::comm {

namespace {

constexpr uint64_t kMagic = 0x4F4C4148'00000002;  // "HALO", version 2

enum Channel : int32_t { kData, kControl };

/// What a rank says when it comes, and where the others find it.
struct Greeting {
  uint64_t magic = kMagic;
  int32_t rank = 0, world = 0, port = 0, channel = kData;
  char address[64] = {};
  Process process;
};

class Meeting {
 public:
  Meeting(int rank, int world, Clock::time_point until, Peers* peers) : rank_(rank), world_(world), until_(until), peers_(*peers), all_(size(world)) {
    peers_.data.resize(size(world));
    peers_.control.resize(size(world));
    own_.rank = rank;
    own_.world = world;
    own_.process = Process::own();
  }

  /// Rank 0: waits for all, and tells all where the others are.
  Status be_met(int port) {
    if (world_ == 1) return {};
    Socket door;
    HALO_RETURN_IF_ERROR(Socket::listen(&port, &door));
    all_[0] = own_;
    HALO_RETURN_IF_ERROR(accept(door, world_ - 1));
    for (int peer = 1; peer < world_; ++peer) HALO_RETURN_IF_ERROR(peers_.data[size(peer)].send(all_.data(), all_.size() * sizeof(Greeting)));
    return {};
  }

  /// Others: come to rank 0, then to those below, and wait for those above.
  Status meet(const std::string& address, int port) {
    Socket door;
    HALO_RETURN_IF_ERROR(Socket::listen(&own_.port, &door));
    HALO_RETURN_IF_ERROR(connect(0, address, port));
    HALO_RETURN_IF_ERROR(peers_.data[0].receive(all_.data(), all_.size() * sizeof(Greeting), until_));
    for (int peer = 1; peer < rank_; ++peer) HALO_RETURN_IF_ERROR(connect(peer, all_[size(peer)].address, all_[size(peer)].port));
    const std::vector<Greeting> said = all_;
    HALO_RETURN_IF_ERROR(accept(door, world_ - 1 - rank_));
    all_ = said;
    return {};
  }

  void name_processes() {
    for (const Greeting& greeting : all_) peers_.processes.push_back(greeting.process);
    peers_.processes[size(rank_)] = own_.process;
  }

 private:
  static size_t size(int number) { return static_cast<size_t>(number); }

  std::vector<Socket>& sockets(int channel) { return channel == kControl ? peers_.control : peers_.data; }

  Status connect(int peer, const std::string& address, int port) {
    for (const int32_t channel : {kData, kControl}) {
      Socket& socket = sockets(channel)[size(peer)];
      HALO_RETURN_IF_ERROR(Socket::connect(address, port, until_, &socket));
      own_.channel = channel;
      HALO_RETURN_IF_ERROR(socket.send(&own_, sizeof own_));
    }
    return {};
  }

  /// Both connections of so many ranks.
  Status accept(const Socket& door, int ranks) {
    for (int i = 0; i < 2 * ranks; ++i) {
      Socket peer;
      std::string address;
      HALO_RETURN_IF_ERROR(door.accept(until_, &peer, &address));
      Greeting greeting;
      HALO_RETURN_IF_ERROR(peer.receive(&greeting, sizeof greeting, until_));
      HALO_REQUIRE(greeting.magic == kMagic && greeting.world == world_ && greeting.rank > 0 && greeting.rank < world_,
                   "a rank of " << world_ << " of this version", "rank " << greeting.rank << " of " << greeting.world,
                   "Start all ranks with the same number of them and the same version.");
      Socket& place = sockets(greeting.channel)[size(greeting.rank)];
      HALO_REQUIRE(!place.is_open(), "each rank once", "rank " << greeting.rank << " twice", "Give each rank its own number.");
      std::strncpy(greeting.address, address.c_str(), sizeof greeting.address - 1);
      all_[size(greeting.rank)] = greeting;
      place = std::move(peer);
    }
    return {};
  }

  const int rank_, world_;
  const Clock::time_point until_;
  Peers& peers_;
  Greeting own_;
  std::vector<Greeting> all_;
};

}  // namespace

Status meet_by_tcp(const std::string& address, int port, int rank, int world, Clock::time_point until, Peers* peers) {
  Meeting meeting(rank, world, until, peers);
  HALO_RETURN_IF_ERROR(rank == 0 ? meeting.be_met(port) : meeting.meet(address, port));
  meeting.name_processes();
  for (const auto* sockets : {&peers->data, &peers->control}) {
    for (const Socket& socket : *sockets) {
      if (socket.is_open()) HALO_RETURN_IF_ERROR(socket.become_asynchronous());
    }
  }
  return {};
}

}  // namespace halo::comm
