// How a communicator begins, works and ends.
#include "comm/communicator.h"

namespace halo::comm {

namespace {

/// How long the rank that is to say a failure has to answer: a second after one has ended, mpirun ends all.
constexpr double kAnswerSeconds = 0.4;

}  // namespace

Communicator::Communicator(std::unique_ptr<Transport> transport, Status* status) : transport_(std::move(transport)) {
  run_thread();
  *status = reach(Stage::At::kOpen);
}

Communicator::~Communicator() {
  device_plane_ = nullptr;
  {
    const std::lock_guard lock(mutex_);
    closes_ = true;
  }
  changed_.notify_all();
  static_cast<void>(reach(Stage::At::kClosed));  // where it hangs at the end the launcher says that a rank did not finalize
}

void Communicator::run_thread() {
  thread_ = std::thread([this, stage = stage_, transport = transport_] {
    const auto come_to = [&](Stage::At at, const Status& opened) {
      const std::lock_guard lock(stage->mutex);
      if (stage->is_left) return false;
      stage->at = at;
      if (!opened.ok()) stage->opened = opened;
      stage->changed.notify_all();
      return true;
    };
    const Status opened = transport->open();
    if (!come_to(opened.ok() ? Stage::At::kOpen : Stage::At::kClosed, opened) || !opened.ok()) return;
    work();
    transport->close(problem().empty());  // the last that is read of this object: the destructor waits until then
    come_to(Stage::At::kClosed, {});
  });
}

/// Waits for the thread, at most for as long as the transport waits for a library; a thread that hangs in one is left there.
Status Communicator::reach(Stage::At at) {
  if (!thread_.joinable()) return {};  // it was left
  std::unique_lock lock(stage_->mutex);
  const auto is_there = [&] { return stage_->at >= at; };
  while (!stage_->changed.wait_for(lock, std::chrono::milliseconds(50), is_there)) {
    const Status stuck = transport_->look_at_library();
    if (stuck.ok()) continue;
    stage_->is_left = true;
    thread_.detach();
    return stuck;
  }
  const Status opened = stage_->opened;
  const bool is_over = stage_->at == Stage::At::kClosed;
  lock.unlock();
  if (is_over) thread_.join();
  return opened;
}

void Communicator::work() {
  std::unique_lock lock(mutex_);
  for (;;) {
    const auto has_work = [&] { return closes_ || !tasks_.empty(); };
    if (!changed_.wait_for(lock, std::chrono::milliseconds(100), has_work)) {  // a GPU's collectives do not come this way: failures are asked for
      const bool asks = problem_.empty();
      lock.unlock();
      const Status status = asks ? transport_->look_for_failure() : Status();
      lock.lock();
      if (!status.ok()) {
        lock.unlock();
        end(status.message());
        lock.lock();
      }
      continue;
    }
    if (tasks_.empty()) break;
    const Task task = std::move(tasks_.front());
    tasks_.pop_front();
    const bool failed = !problem_.empty();
    lock.unlock();
    const Status status = failed ? Status() : task();
    if (!status.ok()) end(status.message());
    lock.lock();
    changed_.notify_all();
  }
}

/// Ranks that see something at once all tell the others; the one that is to say it answers by telling it too, and where it does not, this one says it.
void Communicator::end(const std::string& cause) {
  const Trouble& trouble = transport_->trouble();
  const int speaker = trouble.speaker >= 0 ? trouble.speaker : (fails_seen_ ? 0 : rank());
  const bool was_told = !trouble.told.empty();
  if (!was_told || speaker == rank()) transport_->tell_failure(speaker, cause);  // first: waits that end give memory back
  {
    const std::lock_guard lock(mutex_);
    problem_ = cause;
    failure_.text = was_told ? trouble.told : "rank " + std::to_string(rank()) + ": " + cause;
  }
  changed_.notify_all();
  const bool speaks = speaker == rank() || (!was_told && !transport_->hears_failure(speaker, kAnswerSeconds));
  {
    const std::lock_guard lock(mutex_);
    failure_.speaks = speaks;
    is_decided_ = true;
  }
  changed_.notify_all();
}

void Communicator::enqueue(Task task) {
  tasks_.push_back(std::move(task));
  changed_.notify_all();
}

void Communicator::fail(const std::string& cause, bool is_seen) {
  const std::lock_guard lock(mutex_);
  if (!problem_.empty() || fails_) return;
  fails_ = true;
  fails_seen_ = is_seen;
  enqueue([cause] { return Status::error(cause); });
}

Communicator::Failure Communicator::failure() {
  std::unique_lock lock(mutex_);
  if (problem_.empty() && !fails_) return {};
  changed_.wait(lock, [&] { return is_decided_; });
  return failure_;
}

std::string Communicator::problem() {
  const std::lock_guard lock(mutex_);
  return problem_;
}

}  // namespace halo::comm
