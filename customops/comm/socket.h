// Sockets of TCP, as few functions as the transport needs.
#pragma once

#include <cstdint>
#include <string>
#include <utility>

#include "comm/transport.h"

namespace halo::comm {

/// An open socket; closes itself.
class Socket {
 public:
  Socket() = default;
  explicit Socket(int descriptor) : descriptor_(descriptor) {}
  Socket(Socket&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}
  Socket& operator=(Socket&& other) noexcept {
    std::swap(descriptor_, other.descriptor_);
    return *this;
  }
  ~Socket();

  int get() const { return descriptor_; }
  bool is_open() const { return descriptor_ >= 0; }

  /// Listens at a port of all addresses; 0: one that is free, which `port` then is.
  static Status listen(int* port, Socket* made);

  /// Tries until somebody listens there.
  static Status connect(const std::string& address, int port, Clock::time_point until, Socket* made);

  /// The next one that connects, and the address it has.
  Status accept(Clock::time_point until, Socket* made, std::string* address) const;

  /// All of the bytes, of a socket that waits.
  Status send(const void* data, size_t bytes) const;
  Status receive(void* data, size_t bytes, Clock::time_point until) const;

  /// From then on calls do not wait.
  Status become_asynchronous() const;

 private:
  int descriptor_ = -1;
};

/// What errno says, as an error that names `what`.
Status socket_error(const std::string& what);

}  // namespace halo::comm
