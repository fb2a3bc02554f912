// On a stream of their own: an exchange sends and receives bytes, sums are ours. A collective begins when the device's stream has come to its start, and the
// device's stream goes on behind its wait when it is over.
#include <atomic>
#include <map>
#include <mutex>
#include <thread>
#include <utility>

#include "provider/collectives/device_collectives.h"
#include "provider/collectives/event.h"
#include "provider/collectives/exchange.h"
#include "provider/collectives/recorded_runs.h"
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

class StreamCollectives final : public DeviceCollectives {
 public:
  StreamCollectives(Device& device, comm::Communicator& communicator) : device_(device), communicator_(communicator) {}

  /// A communicator that is broken is ended by force, by the watcher: there is nobody to end it with.
  ~StreamCollectives() override {
    static_cast<void>(cudaSetDevice(device_.ordinal()));
    if (stream_ != nullptr) cudaStreamSynchronize(stream_);
    if (!communicator_.problem().empty()) cudaStreamSynchronize(device_.stream());  // also what is replayed waits for ranks that are gone
    stops_ = true;
    if (watcher_.joinable()) watcher_.join();
    if (stream_ != nullptr) cudaStreamDestroy(stream_);
  }

  Status open(comm::DeviceCarrier carrier) {
    HALO_RETURN_IF_ERROR(device_.prepare());
    HALO_CUDA_RETURN_IF_ERROR(create_stream(&stream_));
    HALO_RETURN_IF_ERROR(CollectiveTrace::open(communicator_.rank(), stream_, &trace_));
    const auto open = carrier == comm::DeviceCarrier::kCopies ? copy_exchange : nccl_exchange;
    HALO_RETURN_IF_ERROR(open(device_, communicator_, &exchange_));
    watcher_ = std::thread([this] { watch(); });
    return {};
  }

  Status start(const Collective& c) override {
    HALO_RETURN_IF_ERROR(communicator_.require_ready(c));
    const bool is_recorded = device_.is_capturing();
    HALO_REQUIRE(!is_recorded || exchange_->is_recordable(), "collectives of runs that are not recorded", "a recording",
                 "Let copies carry (--rank-carrier copies), or switch recording off: graph_capture 0.");
    if (c.kind == Kind::kAllGather) HALO_RETURN_IF_ERROR(copy(slot(c, c.index), c.x, c.x_bytes(), device_.stream()));
    Run run;
    run.collective = c;
    run.number = ++starts_;
    HALO_RETURN_IF_ERROR(run.ready.record(device_.stream()));
    HALO_CUDA_RETURN_IF_ERROR(cudaStreamWaitEvent(stream_, run.ready.get(), 0));
    HALO_RETURN_IF_ERROR(stamp(run.begin, stream_));
    HALO_RETURN_IF_ERROR(enqueue(c, &run.staging));
    HALO_RETURN_IF_ERROR(stamp(run.end, stream_));
    if (is_recorded) HALO_RETURN_IF_ERROR(run.joined.record(stream_));
    const std::lock_guard lock(mutex_);
    (is_recorded ? in_recording_ : pending_).emplace(c.y, std::move(run));
    return {};
  }

  Status wait(const void* y) override {
    const std::lock_guard lock(mutex_);
    const bool is_recorded = device_.is_capturing();
    auto& started = is_recorded ? in_recording_ : pending_;
    for (auto found = started.find(y); found != started.end(); found = started.find(y)) {
      Run& run = found->second;
      HALO_RETURN_IF_ERROR(stamp(run.wait_begin, device_.stream()));
      HALO_CUDA_RETURN_IF_ERROR(cudaStreamWaitEvent(device_.stream(), (is_recorded ? run.joined : run.end).get(), 0));
      HALO_RETURN_IF_ERROR(stamp(run.wait_end, device_.stream()));
      device_.free(run.staging);  // what gets it next comes behind the wait
      run.staging = nullptr;
      if (is_recorded) {
        recording()->add(std::move(run));
      } else {
        waited_.push_back(std::move(run));
      }
      started.erase(found);
    }
    if (!is_recorded && waited_.size() > 512) count_finished();
    const std::string problem = communicator_.problem();
    return problem.empty() ? Status() : Status::error(problem);
  }

  /// Before counts are read.
  void settle() override {
    static_cast<void>(cudaSetDevice(device_.ordinal()));
    const std::lock_guard lock(mutex_);
    count_finished();
    for (const auto& recorded : living()) recorded->settle();
  }

 private:
  /// In a recording the time of each replay.
  Status stamp(Event& event, cudaStream_t stream) const { return device_.is_capturing() ? event.record_each_replay(stream) : event.record(stream); }

  /// Those of the recording that is made.
  RecordedRuns* recording() {
    if (recorded_.empty() || recorded_.back().expired() || !recorded_.back().lock()->is_open()) {
      const auto made = std::make_shared<RecordedRuns>(device_, communicator_, trace_);
      add_recorded_work(device_, made);
      recorded_.push_back(made);
    }
    return recorded_.back().lock().get();
  }

  std::vector<std::shared_ptr<RecordedRuns>> living() {
    std::vector<std::shared_ptr<RecordedRuns>> found;
    for (const auto& recorded : recorded_) {
      if (auto is_there = recorded.lock()) found.push_back(std::move(is_there));
    }
    return found;
  }

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
    std::vector<PeerTransfer> transfers;
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
      if (trace_ != nullptr) trace_->write(run);
      communicator_.count(run.collective, seconds_between(run.begin, run.end), seconds_between(run.wait_begin, run.wait_end));
      return true;
    });
  }

  /// A rank that is gone or hangs leaves the stream waiting for ever: it is ended by force.
  void watch() {
    static_cast<void>(cudaSetDevice(device_.ordinal()));
    while (!stops_) {
      const bool is_broken = !communicator_.problem().empty();
      std::this_thread::sleep_for(std::chrono::milliseconds(is_broken ? 5 : 100));
      if (is_broken) {
        exchange_->abort();
      } else if (const std::string late = find_late(); !late.empty()) {
        communicator_.fail(late, /*is_seen=*/true);
      }
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
      if (is_late(run)) return late_text(run.collective, communicator_.timeout_seconds());
    }
    for (Run& run : waited_) {
      if (is_late(run)) return late_text(run.collective, communicator_.timeout_seconds());
    }
    for (const auto& recorded : living()) {
      if (std::string text = recorded->find_late(); !text.empty()) return text;
    }
    return "";
  }

  Device& device_;
  comm::Communicator& communicator_;
  std::unique_ptr<Exchange> exchange_;
  std::shared_ptr<CollectiveTrace> trace_;
  cudaStream_t stream_ = nullptr;
  std::mutex mutex_;
  int64_t starts_ = 0;
  std::multimap<const void*, Run> pending_, in_recording_;  // by y
  std::vector<Run> waited_;                                 // their times are not known yet
  std::vector<std::weak_ptr<RecordedRuns>> recorded_;       // as long as their sessions
  std::atomic<bool> stops_ = false;
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
