#include "provider/recorded_work.h"

#include <map>
#include <mutex>
#include <utility>

namespace halo::cuda {

namespace {

std::mutex all_mutex;

/// A device makes one recording at a time.
std::map<const Device*, std::vector<std::shared_ptr<RecordedWork>>>& all() {
  static std::map<const Device*, std::vector<std::shared_ptr<RecordedWork>>> work;
  return work;
}

}  // namespace

void add_recorded_work(const Device& device, std::shared_ptr<RecordedWork> work) {
  const std::lock_guard lock(all_mutex);
  all()[&device].push_back(std::move(work));
}

std::vector<std::shared_ptr<RecordedWork>> take_recorded_work(const Device& device) {
  const std::lock_guard lock(all_mutex);
  return std::exchange(all()[&device], {});
}

}  // namespace halo::cuda
