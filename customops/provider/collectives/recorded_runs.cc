#include "provider/collectives/recorded_runs.h"

#include <algorithm>
#include <sstream>
#include <utility>

namespace halo::cuda {

std::string late_text(const comm::Collective& collective, double timeout_seconds) {
  std::ostringstream text;
  text << "expected all ranks in " << collective.text() << " within " << timeout_seconds
       << " s, found it not over. A rank hangs, was stopped or has ended: see its messages.";
  return text.str();
}

void RecordedRuns::add(Run run) {
  const std::lock_guard lock(mutex_);
  runs_.push_back(std::move(run));
}

void RecordedRuns::end() {
  const std::lock_guard lock(mutex_);
  std::sort(runs_.begin(), runs_.end(), [](const Run& a, const Run& b) { return a.number < b.number; });
  times_.resize(runs_.size());
  is_open_ = false;
}

Status RecordedRuns::before_replay() {
  const std::lock_guard lock(mutex_);
  if (!is_counted_) count();
  return replay_begin_.record(device_.stream());
}

Status RecordedRuns::after_replay() {
  const std::lock_guard lock(mutex_);
  is_counted_ = false;
  first_left_ = 0;
  seen_.reset();
  return replay_end_.record(device_.stream());
}

void RecordedRuns::settle() {
  const std::lock_guard lock(mutex_);
  if (!is_counted_ && cudaEventQuery(replay_end_.get()) == cudaSuccess) count();
}

void RecordedRuns::count() {
  const bool is_over = cudaEventQuery(replay_end_.get()) == cudaSuccess;
  for (size_t i = 0; i < runs_.size(); ++i) {
    const Run& run = runs_[i];
    if (is_over) times_[i] = {.ran = seconds_between(run.begin, run.end), .waited = seconds_between(run.wait_begin, run.wait_end)};
    if (is_over && trace_ != nullptr) trace_->write(run);
    communicator_.count(run.collective, times_[i].ran, times_[i].waited);
  }
  is_counted_ = true;
}

/// Collectives run one behind the other: the first that is not over is under way, or computing comes before it.
std::string RecordedRuns::find_late() {
  const std::lock_guard lock(mutex_);
  if (is_open_ || is_counted_ || cudaEventQuery(replay_begin_.get()) != cudaSuccess || cudaEventQuery(replay_end_.get()) != cudaErrorNotReady) return "";
  const size_t before = first_left_;
  while (first_left_ < runs_.size() && has_passed_since(replay_begin_, runs_[first_left_].end)) ++first_left_;
  if (first_left_ == runs_.size() || !has_passed_since(replay_begin_, runs_[first_left_].begin)) return "";
  if (first_left_ != before || !seen_) seen_ = comm::Clock::now();
  const double limit = communicator_.timeout_seconds();
  return std::chrono::duration<double>(comm::Clock::now() - *seen_).count() > limit ? late_text(runs_[first_left_].collective, limit) : "";
}

}  // namespace halo::cuda
