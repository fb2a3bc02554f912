// On a stream of their own: an exchange sends and receives bytes, sums are ours. A collective begins when the device's stream has come to its start, and the
// device's stream goes on behind its wait when it is over.
#include <atomic>
#include <map>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include "provider/collectives/device_collectives.h"
#include "provider/collectives/event.h"
#include "provider/collectives/exchange.h"
#include "provider/errors.h"

namespace halo::cuda {

namespace {

using comm::Collective;
using comm::Kind;
using comm::Piece;

/// Work memory of a reduction, of which a larger one makes several exchanges.
constexpr int64_t kStagingBytes = int64_t{64} << 20;

/// Ahead of what computes: a collective is short, and another rank waits for it.
cudaError_t create_stream(cudaStream_t* stream) {
#ifdef HALO_CUDA_EMULATED
  return cudaStreamCreateWithFlags(stream, cudaStreamNonBlocking);
#else
  int least = 0, greatest = 0;
  const cudaError_t error = cudaDeviceGetStreamPriorityRange(&least, &greatest);
  return error == cudaSuccess ? cudaStreamCreateWithPriority(stream, cudaStreamNonBlocking, greatest) : error;
#endif
}

/// A collective that was started, with the times of what is known of it.
struct Run {
  Collective collective;
  std::optional<comm::Clock::time_point> begun;  // when that was first seen
  Event ready, begin, end, wait_begin, wait_end;
  void* staging = nullptr;
};

class StreamCollectives final : public DeviceCollectives {
 public:
  StreamCollectives(Device& device, comm::Communicator& communicator) : device_(device), communicator_(communicator) {}

  /// Ends a communicator that is broken by force: there is nobody to end it with.
  ~StreamCollectives() override {
    stops_ = true;
    if (watcher_.joinable()) watcher_.join();
    static_cast<void>(cudaSetDevice(device_.ordinal()));
    if (exchange_ != nullptr && !is_aborted_ && !communicator_.problem().empty()) exchange_->abort();
    if (stream_ != nullptr) {
      cudaStreamSynchronize(stream_);
      cudaStreamDestroy(stream_);
    }
  }

  Status open(comm::DeviceCarrier carrier) {
    HALO_RETURN_IF_ERROR(device_.prepare());
    HALO_CUDA_RETURN_IF_ERROR(create_stream(&stream_));
    const auto open = carrier == comm::DeviceCarrier::kCopies ? copy_exchange : nccl_exchange;
    HALO_RETURN_IF_ERROR(open(device_, communicator_, &exchange_));
    watcher_ = std::thread([this] { watch(); });
    return {};
  }

  Status start(const Collective& c) override {
    HALO_RETURN_IF_ERROR(communicator_.require_ready(c));
    if (c.kind == Kind::kAllGather) HALO_RETURN_IF_ERROR(copy(slot(c, c.index), c.x, c.x_bytes(), device_.stream()));
    Run run;
    run.collective = c;
    HALO_RETURN_IF_ERROR(run.ready.record(device_.stream()));
    HALO_CUDA_RETURN_IF_ERROR(cudaStreamWaitEvent(stream_, run.ready.get(), 0));
    HALO_RETURN_IF_ERROR(run.begin.record(stream_));
    HALO_RETURN_IF_ERROR(enqueue(c, &run.staging));
    HALO_RETURN_IF_ERROR(run.end.record(stream_));
    const std::lock_guard lock(mutex_);
    pending_.emplace(c.y, std::move(run));
    return {};
  }

  Status wait(const void* y) override {
    const std::lock_guard lock(mutex_);
    for (auto found = pending_.find(y); found != pending_.end(); found = pending_.find(y)) {
      Run& run = found->second;
      HALO_RETURN_IF_ERROR(run.wait_begin.record(device_.stream()));
      HALO_CUDA_RETURN_IF_ERROR(cudaStreamWaitEvent(device_.stream(), run.end.get(), 0));
      HALO_RETURN_IF_ERROR(run.wait_end.record(device_.stream()));
      device_.free(run.staging);  // what gets it next comes behind the wait
      run.staging = nullptr;
      waited_.push_back(std::move(run));
      pending_.erase(found);
    }
    if (waited_.size() > 512) count_finished();
    const std::string problem = communicator_.problem();
    return problem.empty() ? Status() : Status::error(problem);
  }

  /// Before counts are read.
  void settle() override {
    static_cast<void>(cudaSetDevice(device_.ordinal()));
    const std::lock_guard lock(mutex_);
    count_finished();
  }

 private:
  static Status copy(void* to, const void* from, size_t bytes, cudaStream_t stream) {
    return bytes == 0 ? Status() : HALO_CUDA_STATUS(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, stream));
  }

  static char* slot(const Collective& c, int member) { return static_cast<char*>(c.y) + c.offset(member) * size_of(c.type); }

  Status enqueue(const Collective& c, void** staging) {
    switch (c.kind) {
      case Kind::kAllGather:
        return all_gather(c);
      case Kind::kAllToAll:
        return all_to_all(c);
      case Kind::kReduceScatter:
        return reduce_scatter(c, static_cast<char*>(c.y), staging);
      default:
        HALO_RETURN_IF_ERROR(reduce_scatter(c, slot(c, c.index), staging));
        return all_gather(c);
    }
  }

  /// What each other member is sent, and gives; those behind this one first, so that not all turn to the same.
  template <class Send, class Receive>
  Status exchange(const Collective& c, Send&& send, Receive&& receive) {
    const int members = static_cast<int>(c.counts.size());
    std::vector<Transfer> transfers;
    for (int distance = 1; distance < members; ++distance) {
      const int member = (c.index + distance) % members, peer = communicator_.member_rank(c, member);
      const Piece out = send(member), in = receive(member);
      transfers.push_back({.peer = peer, .out = out.data, .out_bytes = out.bytes, .in = in.data, .in_bytes = in.bytes});
    }
    return exchange_->run(transfers, stream_);
  }

  Status all_gather(const Collective& c) {
    const int64_t size = size_of(c.type);
    return exchange(
        c,
        [&](int) {
          return Piece{0, slot(c, c.index), c.own() * size};
        },
        [&](int member) {
          return Piece{0, slot(c, member), c.counts[static_cast<size_t>(member)] * size};
        });
  }

  Status all_to_all(const Collective& c) {
    const int64_t size = size_of(c.type), own = c.own() * size;
    char* x = static_cast<char*>(const_cast<void*>(c.x));
    char* y = static_cast<char*>(c.y);
    HALO_RETURN_IF_ERROR(copy(y + c.index * own, x + c.offset(c.index) * size, static_cast<size_t>(own), stream_));
    return exchange(
        c,
        [&](int member) {
          return Piece{0, x + c.offset(member) * size, c.counts[static_cast<size_t>(member)] * size};
        },
        [&](int member) {
          return Piece{0, y + member * own, own};
        });
  }

  /// As the CPU's: what comes lies in work memory, a piece of each rank behind the other, and is summed in the order of ranks.
  Status reduce_scatter(const Collective& c, char* y, void** staging) {
    const int64_t size = size_of(c.type), members = static_cast<int64_t>(c.counts.size());
    const int64_t chunk = std::max<int64_t>(1, kStagingBytes / (members * size));
    const int64_t longest = *std::max_element(c.counts.begin(), c.counts.end());
    const int64_t bytes = members * std::min(chunk, c.own()) * size;
    if (bytes > 0) *staging = device_.allocate(bytes);
    HALO_REQUIRE(bytes == 0 || *staging != nullptr, bytes << " bytes of work memory", "none left on the GPU", "Take a smaller batch or a shorter sequence.");
    char* x = static_cast<char*>(const_cast<void*>(c.x));
    char* parts = static_cast<char*>(*staging);
    for (int64_t begin = 0; begin < longest; begin += chunk) {
      const auto length = [&](int member) { return std::clamp<int64_t>(c.counts[static_cast<size_t>(member)] - begin, 0, chunk); };
      const int64_t own = length(c.index) * size;
      HALO_RETURN_IF_ERROR(copy(parts + c.index * own, x + (c.offset(c.index) + begin) * size, static_cast<size_t>(own), stream_));
      HALO_RETURN_IF_ERROR(exchange(
          c,
          [&](int member) {
            return Piece{0, x + (c.offset(member) + begin) * size, length(member) * size};
          },
          [&](int member) {
            return Piece{0, parts + member * own, own};
          }));
      if (own > 0) HALO_RETURN_IF_ERROR(combine_cuda(c.type, c.reduction, parts, members, length(c.index), y + begin * size, stream_));
    }
    return {};
  }

  void count_finished() {
    std::erase_if(waited_, [&](const Run& run) {
      if (cudaEventQuery(run.wait_end.get()) != cudaSuccess) return false;
      communicator_.count(run.collective, seconds_between(run.begin, run.end), seconds_between(run.wait_begin, run.wait_end));
      return true;
    });
  }

  /// A rank that is gone or hangs leaves the stream waiting for ever: it is ended by force.
  void watch() {
    static_cast<void>(cudaSetDevice(device_.ordinal()));
    while (!stops_) {
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
      const std::string late = find_late();
      if (!late.empty()) communicator_.fail(late, /*is_seen=*/true);
      if (communicator_.problem().empty()) continue;
      is_aborted_ = true;
      exchange_->abort();
      return;
    }
  }

  /// What to say of a collective that is not over in time, or of what the exchange reports; "" where all is well.
  std::string find_late() {
    if (std::string problem = exchange_->problem(); !problem.empty()) return problem;
    const std::lock_guard lock(mutex_);
    const auto is_late = [&](Run& run) {
      if (cudaEventQuery(run.begin.get()) != cudaSuccess || cudaEventQuery(run.end.get()) != cudaErrorNotReady) return false;
      if (!run.begun) run.begun = comm::Clock::now();
      return std::chrono::duration<double>(comm::Clock::now() - *run.begun).count() > communicator_.timeout_seconds();
    };
    for (auto& [y, run] : pending_) {
      if (is_late(run)) return late(run);
    }
    for (Run& run : waited_) {
      if (is_late(run)) return late(run);
    }
    return "";
  }

  std::string late(const Run& run) const {
    std::ostringstream text;
    text << "expected all ranks in " << run.collective.text() << " within " << communicator_.timeout_seconds()
         << " s, found it not over. A rank hangs, was stopped or has ended: see its messages.";
    return text.str();
  }

  Device& device_;
  comm::Communicator& communicator_;
  std::unique_ptr<Exchange> exchange_;
  cudaStream_t stream_ = nullptr;
  std::mutex mutex_;
  std::multimap<const void*, Run> pending_;  // by y
  std::vector<Run> waited_;                  // their times are not known yet
  std::atomic<bool> stops_ = false, is_aborted_ = false;
  std::thread watcher_;
};

}  // namespace

Status stream_collectives(Device& device, comm::Communicator& communicator, comm::DeviceCarrier carrier, std::unique_ptr<DeviceCollectives>* made) {
  auto collectives = std::make_unique<StreamCollectives>(device, communicator);
  HALO_RETURN_IF_ERROR(collectives->open(carrier));
  *made = std::move(collectives);
  return {};
}

}  // namespace halo::cuda
