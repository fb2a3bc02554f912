#include "comm/threads_transport.h"

#include <condition_variable>
#include <cstring>
#include <deque>
#include <map>
#include <mutex>
#include <optional>

namespace halo::comm {

namespace {

/// What became of a sender's messages.
struct Progress {
  int64_t taken = 0, being_read = 0;
};

struct Message {
  uint64_t digest;
  const std::string* what;
  const void* data;
  int64_t bytes;
  Progress* progress;
};

/// What the ranks of one world share.
struct Hub {
  explicit Hub(int size) : world(size) {}

  const int world;
  std::mutex mutex;
  std::condition_variable changed;
  std::map<std::pair<int, int>, std::deque<Message>> messages;  // by (from, to)
  std::optional<FailureNotice> failure;                         // the first one
};

std::mutex hubs_mutex;
std::map<std::string, std::weak_ptr<Hub>>& hubs() {
  static std::map<std::string, std::weak_ptr<Hub>> all;
  return all;
}

class ThreadsTransport final : public Transport {
 public:
  ThreadsTransport(std::string name, int rank, int world, int ranks_per_node, double timeout_seconds)
      : name_(std::move(name)), rank_(rank), world_(world), ranks_per_node_(ranks_per_node), timeout_seconds_(timeout_seconds) {}

  Status open() override {
    const std::lock_guard lock(hubs_mutex);
    std::weak_ptr<Hub>& known = hubs()[name_];
    hub_ = known.lock();
    if (hub_ == nullptr) known = hub_ = std::make_shared<Hub>(world_);
    HALO_REQUIRE(hub_->world == world_, "ranks of " << hub_->world << " in '" << name_ << "'", world_, "Give all ranks the same number of them.");
    return {};
  }

  void close(bool) override { hub_ = nullptr; }

  int rank() const override { return rank_; }
  int world() const override { return world_; }
  int ranks_per_node() const override { return ranks_per_node_; }

  Status exchange(const Exchange& exchange) override {
    std::unique_lock lock(hub_->mutex);
    Progress progress;
    for (const Piece& piece : exchange.sends) {
      hub_->messages[{rank_, piece.peer}].push_back({exchange.digest, &exchange.what, piece.data, piece.bytes, &progress});
    }
    hub_->changed.notify_all();
    const Status status = receive(exchange, lock, progress);
    if (!status.ok()) withdraw(exchange, lock, progress);
    return status;
  }

  Status look_for_failure() override {
    const std::lock_guard lock(hub_->mutex);
    return hub_->failure ? told("every step", *hub_->failure) : Status();
  }

  double timeout_seconds() const override { return timeout_seconds_; }

  void tell_failure(int speaker, const std::string& cause) override {
    const std::lock_guard lock(hub_->mutex);
    if (!hub_->failure) hub_->failure = FailureNotice(rank_, speaker, cause);
    hub_->changed.notify_all();
  }

  /// All hear the first one.
  bool hears_failure(int, double) override { return true; }

 private:
  Status receive(const Exchange& exchange, std::unique_lock<std::mutex>& lock, const Progress& progress) {
    const double limit = exchange.timeout_seconds > 0 ? exchange.timeout_seconds : timeout_seconds_;
    const auto until = Clock::now() + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(limit));
    const auto wait = [&](const std::vector<int>& peers, auto&& holds) -> Status {
      const bool came = hub_->changed.wait_until(lock, until, [&] { return holds() || hub_->failure; });
      if (came && holds()) return {};
      if (hub_->failure) return told(exchange.what, *hub_->failure);
      return too_late(exchange, peers, peers.empty() ? "ranks that take what was sent" : "rank " + std::to_string(peers[0]), limit);
    };
    for (const Piece& piece : exchange.receives) {
      auto& box = hub_->messages[{piece.peer, rank_}];
      HALO_RETURN_IF_ERROR(wait({piece.peer}, [&] { return !box.empty(); }));
      const Message message = box.front();
      HALO_RETURN_IF_ERROR(require_same(exchange, piece.peer, message.digest, *message.what));
      box.pop_front();
      ++message.progress->being_read;
      lock.unlock();  // the sender waits until it is read
      if (piece.bytes > 0) std::memcpy(piece.data, message.data, static_cast<size_t>(piece.bytes));
      lock.lock();
      --message.progress->being_read;
      ++message.progress->taken;
      hub_->changed.notify_all();
    }
    const auto sent = static_cast<int64_t>(exchange.sends.size());
    return wait({}, [&] { return progress.taken == sent; });
  }

  /// Nobody may read this exchange's memory once it is over.
  void withdraw(const Exchange& exchange, std::unique_lock<std::mutex>& lock, const Progress& progress) {
    for (const Piece& piece : exchange.sends) {
      auto& box = hub_->messages[{rank_, piece.peer}];
      std::erase_if(box, [&](const Message& message) { return message.progress == &progress; });
    }
    hub_->changed.wait(lock, [&] { return progress.being_read == 0; });
  }

  const std::string name_;
  const int rank_, world_, ranks_per_node_;
  const double timeout_seconds_;
  std::shared_ptr<Hub> hub_;
};

}  // namespace

std::unique_ptr<Transport> threads_transport(const std::string& name, int rank, int world, int ranks_per_node, double timeout_seconds) {
  return std::make_unique<ThreadsTransport>(name, rank, world, ranks_per_node, timeout_seconds);
}

}  // namespace halo::comm
