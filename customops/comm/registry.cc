// Communicators by number.
#include <map>
#include <mutex>

#include "comm/communicator.h"

namespace halo::comm {

namespace {

std::mutex all_mutex;
int64_t last = 0;

std::map<int64_t, std::shared_ptr<Communicator>>& all() {
  static std::map<int64_t, std::shared_ptr<Communicator>> communicators;
  return communicators;
}

}  // namespace

int64_t add(std::shared_ptr<Communicator> communicator) {
  const std::lock_guard lock(all_mutex);
  all()[++last] = std::move(communicator);
  return last;
}

std::shared_ptr<Communicator> find(int64_t id) {
  const std::lock_guard lock(all_mutex);
  const auto found = all().find(id);
  return found == all().end() ? nullptr : found->second;
}

void remove(int64_t id) {
  std::shared_ptr<Communicator> removed;
  const std::lock_guard lock(all_mutex);
  const auto found = all().find(id);
  if (found == all().end()) return;
  removed = std::move(found->second);  // ends outside of the lock
  all().erase(found);
}

}  // namespace halo::comm
