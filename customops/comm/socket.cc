#include "comm/socket.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <thread>

namespace halo::comm {

namespace {

/// Waits until there is something to read.
bool is_readable(int descriptor, Clock::time_point until) {
  const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(until - Clock::now()).count();
  pollfd waited{.fd = descriptor, .events = POLLIN, .revents = 0};
  return ::poll(&waited, 1, static_cast<int>(std::clamp<int64_t>(left, 0, 1 << 30))) > 0;
}

void send_at_once(int descriptor) {
  const int on = 1;
  ::setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

}  // namespace

Status socket_error(const std::string& what) {
  return refuse(__FILE__, __LINE__, what, std::strerror(errno), "See that address, port and network are right, and that all ranks were started.");
}

Socket::~Socket() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

Status Socket::listen(int* port, Socket* made) {
  Socket socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const int on = 1;
  ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(*port));
  address.sin_addr.s_addr = htonl(INADDR_ANY);
  socklen_t length = sizeof address;
  if (::bind(socket.get(), reinterpret_cast<sockaddr*>(&address), length) != 0 || ::listen(socket.get(), 1024) != 0 ||
      ::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&address), &length) != 0) {
    return socket_error("port " + std::to_string(*port) + " to listen at");
  }
  *port = ntohs(address.sin_port);
  *made = std::move(socket);
  return {};
}

Status Socket::connect(const std::string& address, int port, Clock::time_point until, Socket* made) {
  const std::string where = "somebody at " + address + ":" + std::to_string(port);
  for (;;) {
    addrinfo wanted{}, *found = nullptr;
    wanted.ai_family = AF_INET;
    wanted.ai_socktype = SOCK_STREAM;
    const int code = ::getaddrinfo(address.c_str(), std::to_string(port).c_str(), &wanted, &found);
    if (code == 0) {
      const std::unique_ptr<addrinfo, void (*)(addrinfo*)> owner(found, ::freeaddrinfo);
      Socket socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
      if (::connect(socket.get(), found->ai_addr, found->ai_addrlen) == 0) {
        send_at_once(socket.get());
        *made = std::move(socket);
        return {};
      }
      if (Clock::now() > until) return socket_error(where);
    } else {
      HALO_REQUIRE(Clock::now() <= until, where, ::gai_strerror(code), "Give rank 0's address.");
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(50));  // it may be started later
  }
}

Status Socket::accept(Clock::time_point until, Socket* made, std::string* address) const {
  HALO_REQUIRE(is_readable(get(), until), "all ranks to connect in time", "fewer",
               "See that all were started, with the same address, port and number of ranks.");
  sockaddr_in from{};
  socklen_t length = sizeof from;
  Socket socket(::accept4(get(), reinterpret_cast<sockaddr*>(&from), &length, SOCK_CLOEXEC));
  if (!socket.is_open()) return socket_error("a rank that connects");
  char text[INET_ADDRSTRLEN] = {};
  ::inet_ntop(AF_INET, &from.sin_addr, text, sizeof text);
  *address = text;
  send_at_once(socket.get());
  *made = std::move(socket);
  return {};
}

Status Socket::send(const void* data, size_t bytes) const {
  for (size_t sent = 0; sent < bytes;) {
    const ssize_t now = ::send(get(), static_cast<const char*>(data) + sent, bytes - sent, MSG_NOSIGNAL);
    if (now < 0 && errno != EINTR) return socket_error("a rank that listens");
    if (now > 0) sent += static_cast<size_t>(now);
  }
  return {};
}

Status Socket::receive(void* data, size_t bytes, Clock::time_point until) const {
  for (size_t got = 0; got < bytes;) {
    HALO_REQUIRE(is_readable(get(), until), "an answer in time", "none", "See the messages of the other ranks.");
    const ssize_t now = ::recv(get(), static_cast<char*>(data) + got, bytes - got, 0);
    HALO_REQUIRE(now != 0, "an answer", "a closed connection", "See the messages of the other ranks.");
    if (now < 0 && errno != EINTR) return socket_error("an answer");
    if (now > 0) got += static_cast<size_t>(now);
  }
  return {};
}

Status Socket::become_asynchronous() const {
  return ::fcntl(get(), F_SETFL, ::fcntl(get(), F_GETFL) | O_NONBLOCK) == 0 ? Status() : socket_error("a socket that does not wait");
}

}  // namespace halo::comm
