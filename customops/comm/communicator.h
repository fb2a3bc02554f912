// Collectives between ranks. Each is started and waited for; what is between runs on a thread of the communicator's own, in the order of starts, which is
// the same on all ranks.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

#include "comm/transport.h"
#include "common/dtype.h"
#include "ops/collectives/collectives.h"

namespace halo::comm {

enum class Kind { kAllGather, kReduceScatter, kAllReduce, kAllToAll };

/// The operator that starts it.
const char* name_of(Kind kind);

/// One collective as its node has it. Parts are those of the members of the group, in order: of the whole tensor's rows, or of the elements of an AllReduce.
struct Collective {
  Kind kind;
  Reduction reduction = Reduction::kSum;
  DType type;
  std::string node, group;
  int index;                    // of this rank in the group
  std::vector<int64_t> counts;  // elements of each member's part
  const void* x;
  void* y;

  int64_t total() const;             // elements of all parts
  int64_t offset(int member) const;  // elements in front of a member's part
  int64_t own() const { return counts[static_cast<size_t>(index)]; }
  size_t x_bytes() const;
  size_t y_bytes() const;
  int64_t sent_bytes() const;  // to others
  std::string text() const;    // for people: "AllGatherStart 'x' (float, group world)"
  uint64_t digest() const;     // of all that must be the same on all members
};

/// Parts as even as may be of `elements` elements.
std::vector<int64_t> even_parts(int64_t elements, int parts);

/// What collectives of one kind, group and type have cost.
struct Count {
  int64_t calls = 0, bytes = 0;    // sent to others
  double seconds = 0, waited = 0;  // they ran, waits included that others come; somebody waited for them
};

/// What is asked to carry tensors that lie on a GPU: the transport, through memory of the host; NCCL; or copies between GPUs of one machine.
enum class DeviceCarrier { kHost, kNccl, kCopies };

/// What carries tensors that lie on a GPU.
class DevicePlane {
 public:
  virtual ~DevicePlane() = default;

  /// Counts what is over.
  virtual void settle() {}
};

class Communicator {
 public:
  /// Returns when the transport is open, or is not to be waited for any longer; `status` says whether it is open.
  Communicator(std::unique_ptr<Transport> transport, Status* status);
  ~Communicator();
  Communicator(const Communicator&) = delete;
  Communicator& operator=(const Communicator&) = delete;

  int rank() const { return transport_->rank(); }
  int world() const { return transport_->world(); }
  int ranks_per_node() const { return transport_->ranks_per_node(); }

  /// x is read until wait() returns, but in an AllGather, which has its part when start() returns.
  Status start(const Collective& collective);

  /// For all that was started and writes to y. Does nothing where that is nothing.
  Status wait(const void* y);

  /// Bytes of all ranks, in order; `what` names the step for errors. A limit of 0 is the transport's own.
  Status gather(const std::string& what, const std::string& own, double timeout_seconds, std::vector<std::string>* all);

  /// Ends all that is under way, here and on the other ranks, with this cause, which the others may see too (`is_seen`) or not.
  void fail(const std::string& cause, bool is_seen = false);

  /// What went wrong first; "" where nothing did.
  std::string problem();

  /// Why ranks end, as it is to be said to people, by one of them.
  struct Failure {
    std::string text;     // "rank 2: .."; "" where nothing went wrong
    bool speaks = false;  // this rank is to say it
  };

  /// Waits, where something went wrong, until it is known whether this rank is to say it.
  Failure failure();

  /// By kind, group and type.
  std::map<std::tuple<Kind, std::string, DType>, Count> counts();

  /// For what carries tensors of a GPU: what is to, an error where a collective is of another rank or something went wrong, the rank of a member of
  /// a group, the place of what carries them, and what a collective has cost.
  DeviceCarrier device_carrier = DeviceCarrier::kHost;
  Status require_ready(const Collective& collective);
  int member_rank(const Collective& collective, int member) const;
  std::unique_ptr<DevicePlane>& device_plane() { return device_plane_; }
  std::mutex& device_plane_mutex() { return device_plane_mutex_; }
  void count(const Collective& collective, double seconds, double waited);
  double timeout_seconds() const { return transport_->timeout_seconds(); }

  /// Bytes of work memory of a reduction, of which a larger one makes several exchanges; the same on all ranks.
  int64_t staging_bytes = int64_t{32} << 20;

 private:
  using Task = std::function<Status()>;

  /// What the communicator's thread is at. It may hang in a library for ever, and is left there: this and the transport are all that it uses then.
  struct Stage {
    std::mutex mutex;
    std::condition_variable changed;
    enum class At { kOpening, kOpen, kClosed } at = At::kOpening;
    bool is_left = false;  // nobody is there any more
    Status opened;
  };

  void run_thread();
  Status reach(Stage::At at);
  void work();
  void end(const std::string& cause);
  void enqueue(Task task);
  Status run(const Collective& collective);
  Status all_gather(const Collective& collective);
  Status all_to_all(const Collective& collective);
  Status reduce_scatter(const Collective& collective, char* y);
  Status exchange(const Collective& collective, const std::function<Piece(int member)>& send, const std::function<Piece(int member)>& receive);
  Status require_group(const Collective& collective) const;

  std::shared_ptr<Transport> transport_;
  std::shared_ptr<Stage> stage_ = std::make_shared<Stage>();
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Task> tasks_;
  std::map<const void*, int> pending_;  // collectives that write to y
  std::map<const void*, std::tuple<Kind, std::string, DType>> kinds_;
  std::map<std::tuple<Kind, std::string, DType>, Count> counts_;
  std::string problem_;
  Failure failure_;
  bool closes_ = false, fails_ = false, fails_seen_ = false, is_decided_ = false;  // fails_: of itself, or is about to
  std::vector<char> staging_;
  std::unique_ptr<DevicePlane> device_plane_;
  std::mutex device_plane_mutex_;
  std::thread thread_;
};

/// Communicators by number, for kernels and callers from outside. Null where there is none.
int64_t add(std::shared_ptr<Communicator> communicator);
std::shared_ptr<Communicator> find(int64_t id);
void remove(int64_t id);

}  // namespace halo::comm
