#include "comm/mpi_transport.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <thread>

#include "comm/mpi_library.h"
#include "comm/mpi_neighbours.h"
#include "comm/mpi_watch.h"

namespace halo::comm {

namespace {

/// Before the bytes of an exchange each peer says what it takes part in.
struct Header {
  uint64_t digest;
  char what[248];
};

constexpr int kHeaderTag = 1, kPayloadTag = 2, kFailureTag = 3;

/// Bytes of one message; each that arrives is a sign of life.
constexpr int64_t kMessageBytes = int64_t{16} << 20;

/// How long nothing comes before it is looked after the processes that it should come from.
constexpr double kPatienceSeconds = 0.05;

/// What is under way with one peer.
struct Request {
  mpi::Request handle;
  int peer;
  bool is_receive;
};

class MpiTransport final : public Transport {
 public:
  explicit MpiTransport(double timeout_seconds) : timeout_seconds_(timeout_seconds), watch_(timeout_seconds) {}

  Status open() override {
    HALO_RETURN_IF_ERROR(mpi::open_library(&api_));
    HALO_RETURN_IF_ERROR(watch_.during("MPI_Init_thread", [&] { return initialize(); }));
    return meet();
  }

  /// MPI_Finalize waits for all ranks: it is called where all have come to the end.
  void close(bool in_peace) override {
    const auto nothing = [](int peer) { return Piece{peer, nullptr, 0}; };
    if (in_peace && with_all("the end", nothing, nothing).ok()) static_cast<void>(watch_.during("MPI_Finalize", [&] { return api_->finalize(); }));
  }

  Status look_at_library() override { return watch_.look(); }

  int rank() const override { return rank_; }
  int world() const override { return world_; }
  int ranks_per_node() const override { return ranks_per_node_; }

  Status exchange(const Exchange& exchange) override {
    last_ = exchange.what;
    Header own{.digest = exchange.digest, .what = {}};
    std::strncpy(own.what, exchange.what.c_str(), sizeof own.what - 1);
    std::map<int, Header> headers;
    std::vector<Request> under_way;
    Status status = post(exchange, &own, &headers, &under_way);
    if (status.ok()) status = complete(exchange, headers, &under_way);
    for (Request& request : under_way) {  // after an error: nothing is to be written to memory that is given back
      if (request.is_receive && api_->cancel(&request.handle) == mpi::kSuccess) api_->request_free(&request.handle);
    }
    return status;
  }

  /// Also for a neighbour that has ended without a word: mpirun ends the others within a second, which may compute for longer.
  Status look_for_failure() override {
    const std::string what = "what follows " + last_;
    HALO_RETURN_IF_ERROR(look_for_failure(what));
    for (int peer = 0; peer < world_; ++peer) {
      if (peer == rank_ || !neighbours_.has_ended(peer)) continue;
      HALO_RETURN_IF_ERROR(look_for_failure(what));  // what it said at last
      return gone(what, peer, neighbours_.described(peer) + " ended");
    }
    return {};
  }

  double timeout_seconds() const override { return timeout_seconds_; }

  void tell_failure(int speaker, const std::string& cause) override {
    own_failure_ = FailureNotice(rank_, speaker, cause);
    std::vector<mpi::Request> requests;
    for (int peer = 0; peer < world_; ++peer) {
      mpi::Request request = nullptr;
      if (peer == rank_ || std::find(trouble_.lost.begin(), trouble_.lost.end(), peer) != trouble_.lost.end()) continue;
      if (api_->isend(&own_failure_, static_cast<int>(own_failure_.bytes()), api_->byte, peer, kFailureTag, api_->world, &request) == mpi::kSuccess)
        requests.push_back(request);
    }
    const auto until = Clock::now() + std::chrono::milliseconds(200);  // a rank that is dead takes nothing, and mpirun ends this one in a second
    while (!requests.empty() && Clock::now() < until) {
      std::erase_if(requests, [&](mpi::Request& request) {
        int is_done = 0;
        mpi::Status ignored{};
        return api_->test(&request, &is_done, &ignored) != mpi::kSuccess || is_done != 0;
      });
      std::this_thread::sleep_for(std::chrono::microseconds(200));
    }
  }

  bool hears_failure(int rank, double seconds) override {
    const auto until = Clock::now() + std::chrono::duration<double>(seconds);
    do {
      int is_there = 0;
      mpi::Status found{};
      if (api_->iprobe(rank, kFailureTag, api_->world, &is_there, &found) != mpi::kSuccess) return false;
      if (is_there != 0) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    } while (Clock::now() < until);
    return false;
  }

 private:
  /// Waits for all ranks, without a limit.
  Status initialize() {
    int was_initialized = 0, provided = 0;
    HALO_RETURN_IF_ERROR(check(api_->initialized(&was_initialized), "MPI_Initialized"));
    HALO_REQUIRE(was_initialized == 0, "one communicator of MPI a process", "a second one", "Use the first.");
    HALO_RETURN_IF_ERROR(check(api_->init_thread(nullptr, nullptr, mpi::kThreadFunneled, &provided), "MPI_Init_thread"));
    HALO_RETURN_IF_ERROR(check(api_->comm_set_errhandler(api_->world, api_->errors_return), "MPI_Comm_set_errhandler"));
    HALO_RETURN_IF_ERROR(check(api_->comm_rank(api_->world, &rank_), "MPI_Comm_rank"));
    HALO_RETURN_IF_ERROR(check(api_->comm_size(api_->world, &world_), "MPI_Comm_size"));
    mpi::Comm machine = nullptr;
    HALO_RETURN_IF_ERROR(check(api_->comm_split_type(api_->world, mpi::kCommTypeShared, rank_, api_->info_null, &machine), "MPI_Comm_split_type"));
    HALO_RETURN_IF_ERROR(check(api_->comm_size(machine, &ranks_per_node_), "MPI_Comm_size"));
    HALO_RETURN_IF_ERROR(check(api_->comm_free(&machine), "MPI_Comm_free"));
    HALO_REQUIRE(world_ % ranks_per_node_ == 0, "as many ranks on each machine", world_ << " ranks, " << ranks_per_node_ << " on this machine",
                 "Start the same number on each.");
    return {};
  }

  template <class Send, class Receive>
  Status with_all(const char* what, Send&& send, Receive&& receive) {
    Exchange all{.what = what, .digest = 0, .sends = {}, .receives = {}};
    for (int peer = 0; peer < world_; ++peer) {
      if (peer == rank_) continue;
      all.sends.push_back(send(peer));
      all.receives.push_back(receive(peer));
    }
    return exchange(all);
  }

  /// Each rank says which process it is.
  Status meet() {
    std::vector<Process> processes(static_cast<size_t>(world_), Process::own());
    Process self = processes[static_cast<size_t>(rank_)];
    HALO_RETURN_IF_ERROR(with_all(
        "the first meeting",
        [&](int peer) {
          return Piece{peer, &self, sizeof self};
        },
        [&](int peer) {
          return Piece{peer, &processes[static_cast<size_t>(peer)], sizeof self};
        }));
    neighbours_ = MpiNeighbours(rank_, processes);
    return {};
  }

  Status check(int code, const char* function) const {
    if (code == mpi::kSuccess) return {};
    char text[1024] = {};
    int length = 0;
    api_->error_string(code, text, &length);
    HALO_REQUIRE(code == mpi::kSuccess, function << " of MPI to succeed", text, "See the messages of mpirun.");
    return {};
  }

  Status post(const Exchange& exchange, const Header* own, std::map<int, Header>* headers, std::vector<Request>* under_way) {
    for (const Piece& piece : exchange.receives) {
      Header& header = (*headers)[piece.peer];
      HALO_RETURN_IF_ERROR(receive(&header, sizeof header, piece.peer, kHeaderTag, under_way));
    }
    for (const Piece& piece : exchange.sends) {
      HALO_RETURN_IF_ERROR(send(own, sizeof *own, piece.peer, kHeaderTag, under_way));
      HALO_RETURN_IF_ERROR(in_messages(piece, [&](char* data, int bytes) { return send(data, bytes, piece.peer, kPayloadTag, under_way); }));
    }
    return {};
  }

  template <class F>
  static Status in_messages(const Piece& piece, F&& f) {
    for (int64_t begin = 0; begin < piece.bytes; begin += kMessageBytes) {
      HALO_RETURN_IF_ERROR(f(static_cast<char*>(piece.data) + begin, static_cast<int>(std::min(kMessageBytes, piece.bytes - begin))));
    }
    return {};
  }

  Status send(const void* data, int bytes, int peer, int tag, std::vector<Request>* under_way) {
    Request& request = under_way->emplace_back(Request{nullptr, peer, false});
    return check(api_->isend(data, bytes, api_->byte, peer, tag, api_->world, &request.handle), "MPI_Isend");
  }

  Status receive(void* data, int bytes, int peer, int tag, std::vector<Request>* under_way) {
    Request& request = under_way->emplace_back(Request{nullptr, peer, true});
    return check(api_->irecv(data, bytes, api_->byte, peer, tag, api_->world, &request.handle), "MPI_Irecv");
  }

  /// Until nothing is under way. A peer's bytes are asked for once its header is there and is right.
  Status complete(const Exchange& exchange, const std::map<int, Header>& headers, std::vector<Request>* under_way) {
    const double limit = exchange.timeout_seconds > 0 ? exchange.timeout_seconds : timeout_seconds_;
    auto last = Clock::now();
    std::map<int, bool> has_header;
    for (int idle = 0; !under_way->empty();) {
      bool moved = false;
      for (size_t i = 0; i < under_way->size();) {
        int is_done = 0;
        mpi::Status found{};
        HALO_RETURN_IF_ERROR(check(api_->test(&(*under_way)[i].handle, &is_done, &found), "MPI_Test"));
        if (is_done == 0) {
          ++i;
          continue;
        }
        moved = true;
        const Request request = (*under_way)[i];
        under_way->erase(under_way->begin() + static_cast<std::ptrdiff_t>(i));
        if (!request.is_receive || has_header[request.peer]) continue;
        has_header[request.peer] = true;
        HALO_RETURN_IF_ERROR(require_same(exchange, request.peer, headers.at(request.peer).digest, headers.at(request.peer).what));
        const auto piece = std::find_if(exchange.receives.begin(), exchange.receives.end(), [&](const Piece& p) { return p.peer == request.peer; });
        HALO_RETURN_IF_ERROR(in_messages(*piece, [&](char* data, int bytes) { return receive(data, bytes, piece->peer, kPayloadTag, under_way); }));
      }
      if (moved) {
        last = Clock::now();
        idle = 0;
        continue;
      }
      if (++idle < 64) continue;
      HALO_RETURN_IF_ERROR(look_for_failure(exchange.what));
      const double waited = std::chrono::duration<double>(Clock::now() - last).count();
      if (waited > limit) return too_late(exchange, peers_of(*under_way), missing(*under_way), limit);
      // What one rank does for all may take longer than its messages: of a neighbour it is seen that it does nothing.
      if (waited > timeout_seconds_ && any_stopped(*under_way)) return too_late(exchange, peers_of(*under_way), missing(*under_way), timeout_seconds_);
      if (waited > kPatienceSeconds && idle % 32 == 0) HALO_RETURN_IF_ERROR(look_for_dead(exchange, *under_way));
      std::this_thread::sleep_for(std::chrono::microseconds(std::min(idle, 500)));
    }
    return {};
  }

  Status look_for_failure(const std::string& what) {
    int is_there = 0;
    mpi::Status found{};
    HALO_RETURN_IF_ERROR(check(api_->iprobe(mpi::kAnySource, kFailureTag, api_->world, &is_there, &found), "MPI_Iprobe"));
    if (is_there == 0) return {};
    FailureNotice failure;
    HALO_RETURN_IF_ERROR(check(api_->recv(&failure, sizeof failure, api_->byte, found.source, kFailureTag, api_->world, &found), "MPI_Recv"));
    return told(what, failure);
  }

  /// Ranks that something is under way with: from, or where all has come, to.
  static std::vector<int> peers_of(const std::vector<Request>& under_way) {
    std::map<int, bool> peers;
    const bool any_receive = std::any_of(under_way.begin(), under_way.end(), [](const Request& request) { return request.is_receive; });
    for (const Request& request : under_way) {
      if (request.is_receive == any_receive) peers[request.peer] = true;
    }
    std::vector<int> ranks;
    for (const auto& [peer, is_there] : peers) ranks.push_back(peer);
    return ranks;
  }

  /// "rank 2 (process 4711), rank 3".
  std::string missing(const std::vector<Request>& under_way) const {
    std::string text;
    for (const int peer : peers_of(under_way)) text += (text.empty() ? "" : ", ") + neighbours_.described(peer);
    return text;
  }

  bool any_stopped(const std::vector<Request>& under_way) const {
    const std::vector<int> peers = peers_of(under_way);
    return std::any_of(peers.begin(), peers.end(), [&](int peer) { return neighbours_.is_stopped(peer); });
  }

  /// A process of this machine that has ended sends nothing any more.
  Status look_for_dead(const Exchange& exchange, const std::vector<Request>& under_way) {
    for (const int peer : peers_of(under_way)) {
      if (neighbours_.has_ended(peer)) return gone(exchange.what, peer, neighbours_.described(peer) + " ended");
    }
    return {};
  }

  const double timeout_seconds_;
  const mpi::Api* api_ = nullptr;
  int rank_ = 0, world_ = 1, ranks_per_node_ = 1;
  MpiNeighbours neighbours_;
  std::string last_;           // the last exchange, for people
  FailureNotice own_failure_;  // stays while it is sent
  MpiWatch watch_;
};

}  // namespace

std::unique_ptr<Transport> mpi_transport(double timeout_seconds) { return std::make_unique<MpiTransport>(timeout_seconds); }

}  // namespace halo::comm
