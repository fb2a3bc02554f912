#include "comm/tcp_control.h"

#include <sys/socket.h>

#include <cerrno>
#include <cstring>

namespace halo::comm {

namespace {

/// The first byte of what is said; a failure follows the second.
constexpr char kBeat = 'b', kFailure = 'f';

void send_now(const Socket& socket, const void* data, size_t bytes) {
  if (socket.is_open()) static_cast<void>(::send(socket.get(), data, bytes, MSG_NOSIGNAL | MSG_DONTWAIT));
}

}  // namespace

void Control::open(std::vector<Socket> sockets) {
  peers_.resize(sockets.size());
  for (size_t rank = 0; rank < sockets.size(); ++rank) {
    peers_[rank].socket = std::move(sockets[rank]);
    peers_[rank].heard = Clock::now();
  }
}

void Control::beat() {
  if (Clock::now() - said_ < std::chrono::milliseconds(200)) return;
  said_ = Clock::now();
  for (const Peer& peer : peers_) send_now(peer.socket, &kBeat, 1);
}

void Control::tell(const FailureNotice& failure) {
  std::string said(1, kFailure);
  said.append(reinterpret_cast<const char*>(&failure), sizeof failure);
  for (const Peer& peer : peers_) send_now(peer.socket, said.data(), said.size());
}

void Control::listen() {
  for (Peer& peer : peers_) {
    char bytes[4096];
    while (peer.socket.is_open()) {
      const ssize_t count = ::recv(peer.socket.get(), bytes, sizeof bytes, MSG_DONTWAIT);
      if (count < 0 && (errno == EAGAIN || errno == EINTR)) break;
      if (count <= 0) {
        peer.socket = Socket();
        break;
      }
      peer.heard = Clock::now();
      peer.unread.append(bytes, static_cast<size_t>(count));
    }
    hear(&peer);
  }
}

void Control::hear(Peer* peer) {
  size_t at = 0;
  while (at < peer->unread.size()) {
    if (peer->unread[at] != kFailure) {
      ++at;
      continue;
    }
    if (peer->unread.size() - at - 1 < sizeof(FailureNotice)) break;
    peer->failure.emplace();
    std::memcpy(&*peer->failure, peer->unread.data() + at + 1, sizeof(FailureNotice));
    at += 1 + sizeof(FailureNotice);
  }
  peer->unread.erase(0, at);
}

const FailureNotice* Control::failure() const {
  for (const Peer& peer : peers_) {
    if (peer.failure) return &*peer.failure;
  }
  return nullptr;
}

}  // namespace halo::comm
