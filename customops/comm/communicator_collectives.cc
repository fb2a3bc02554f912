// Collectives of a communicator, and what they cost.
#include <algorithm>
#include <cstring>

#include "comm/communicator.h"

namespace halo::comm {

namespace {

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

/// What a rank gives in a gather comes with its size where it is short: one exchange then, two where some rank has more to give.
struct Word {
  int64_t size = 0;
  char begin[120] = {};
};

}  // namespace

Status Communicator::require_group(const Collective& c) const {
  const int node_size = ranks_per_node(), nodes = world() / node_size;
  const int size = c.group == "node" ? node_size : (c.group == "peers" ? nodes : world());
  const int index = c.group == "node" ? rank() % node_size : (c.group == "peers" ? rank() / node_size : rank());
  HALO_REQUIRE(static_cast<int>(c.counts.size()) == size && c.index == index, c.text() << " of rank " << index << " of " << size,
               "one of rank " << c.index << " of " << c.counts.size(), "Shard the graph for this number of ranks and machines, and for this rank.");
  return {};
}

int Communicator::member_rank(const Collective& c, int member) const {
  if (c.group == "node") return rank() / ranks_per_node() * ranks_per_node() + member;
  return c.group == "peers" ? rank() % ranks_per_node() + member * ranks_per_node() : member;
}

Status Communicator::require_ready(const Collective& c) {
  HALO_RETURN_IF_ERROR(require_group(c));
  const std::string found = problem();
  return found.empty() ? Status() : Status::error(found);
}

void Communicator::count(const Collective& c, double seconds, double waited) {
  const std::lock_guard lock(mutex_);
  Count& count = counts_[{c.kind, c.group, c.type}];
  ++count.calls;
  count.bytes += c.sent_bytes();
  count.seconds += seconds;
  count.waited += waited;
}

Status Communicator::start(const Collective& c) {
  HALO_RETURN_IF_ERROR(require_group(c));
  const int64_t size = size_of(c.type);
  if (c.kind == Kind::kAllGather && c.own() > 0) {
    std::memcpy(static_cast<char*>(c.y) + c.offset(c.index) * size, c.x, static_cast<size_t>(c.own() * size));
  }
  const std::lock_guard lock(mutex_);
  if (!problem_.empty()) return Status::error(problem_);
  ++pending_[c.y];
  kinds_[c.y] = {c.kind, c.group, c.type};
  enqueue([this, c] {
    const auto begin = Clock::now();
    const Status status = run(c);
    const std::lock_guard guard(mutex_);
    Count& count = counts_[{c.kind, c.group, c.type}];
    count.seconds += seconds_since(begin);
    if (!status.ok()) return status;
    ++count.calls;
    count.bytes += c.sent_bytes();
    --pending_[c.y];
    return status;
  });
  return {};
}

Status Communicator::wait(const void* y) {
  const auto begin = Clock::now();
  std::unique_lock lock(mutex_);
  const auto found = pending_.find(y);
  if (found == pending_.end()) return {};
  changed_.wait(lock, [&] { return found->second == 0 || !problem_.empty(); });
  counts_[kinds_[y]].waited += seconds_since(begin);
  if (!problem_.empty()) return Status::error(problem_);
  pending_.erase(found);
  kinds_.erase(y);
  return {};
}

Status Communicator::gather(const std::string& what, const std::string& own, double timeout_seconds, std::vector<std::string>* all) {
  const auto gathered = std::make_shared<std::vector<std::string>>(static_cast<size_t>(world()));
  const auto is_done = std::make_shared<bool>(false);
  std::unique_lock lock(mutex_);
  if (!problem_.empty()) return Status::error(problem_);
  enqueue([this, what, own, timeout_seconds, gathered, is_done] {
    std::vector<Word> words(gathered->size());
    Word own_word{.size = static_cast<int64_t>(own.size()), .begin = {}};
    own.copy(own_word.begin, sizeof own_word.begin);
    const auto round = [&](const char* part, auto&& send, auto&& receive) {
      Exchange e{.what = what + part, .digest = std::hash<std::string>()(what + part), .sends = {}, .receives = {}, .timeout_seconds = timeout_seconds};
      for (int peer = 0; peer < world(); ++peer) {
        if (peer == rank()) continue;
        e.sends.push_back(send(peer));
        e.receives.push_back(receive(peer));
      }
      return transport_->exchange(e);
    };
    HALO_RETURN_IF_ERROR(round(
        " (sizes)",
        [&](int peer) {
          return Piece{peer, &own_word, sizeof own_word};
        },
        [&](int peer) {
          return Piece{peer, &words[static_cast<size_t>(peer)], sizeof own_word};
        }));
    words[static_cast<size_t>(rank())] = own_word;
    int64_t longest = 0;
    for (size_t peer = 0; peer < words.size(); ++peer) {
      const int64_t size = words[peer].size;
      longest = std::max(longest, size);
      (*gathered)[peer].assign(words[peer].begin, static_cast<size_t>(std::min<int64_t>(size, sizeof own_word.begin)));
      (*gathered)[peer].resize(static_cast<size_t>(size));
    }
    if (longest > static_cast<int64_t>(sizeof own_word.begin)) {
      (*gathered)[static_cast<size_t>(rank())] = own;
      HALO_RETURN_IF_ERROR(round(
          "",
          [&](int peer) {
            return Piece{peer, const_cast<char*>(own.data()), own_word.size};
          },
          [&](int peer) {
            return Piece{peer, (*gathered)[static_cast<size_t>(peer)].data(), words[static_cast<size_t>(peer)].size};
          }));
    }
    const std::lock_guard guard(mutex_);
    *is_done = true;
    return Status();
  });
  changed_.wait(lock, [&] { return *is_done || !problem_.empty(); });
  if (!*is_done) return Status::error(problem_);
  *all = *gathered;
  return {};
}

std::map<std::tuple<Kind, std::string, DType>, Count> Communicator::counts() {
  if (device_plane_ != nullptr) device_plane_->settle();
  const std::lock_guard lock(mutex_);
  return counts_;
}

Status Communicator::exchange(const Collective& c, const std::function<Piece(int)>& send, const std::function<Piece(int)>& receive) {
  Exchange e{.what = c.text(), .digest = c.digest(), .sends = {}, .receives = {}, .timeout_seconds = 0};
  for (int member = 0; member < static_cast<int>(c.counts.size()); ++member) {
    if (member == c.index) continue;
    e.sends.push_back(send(member));
    e.receives.push_back(receive(member));
  }
  return transport_->exchange(e);
}

Status Communicator::run(const Collective& c) {
  switch (c.kind) {
    case Kind::kAllGather:
      return all_gather(c);
    case Kind::kAllToAll:
      return all_to_all(c);
    case Kind::kReduceScatter:
      return reduce_scatter(c, static_cast<char*>(c.y));
    default:
      HALO_RETURN_IF_ERROR(reduce_scatter(c, static_cast<char*>(c.y) + c.offset(c.index) * size_of(c.type)));
      return all_gather(c);
  }
}

Status Communicator::all_gather(const Collective& c) {
  const int64_t size = size_of(c.type);
  const auto slot = [&](int member) { return static_cast<char*>(c.y) + c.offset(member) * size; };
  return exchange(
      c,
      [&](int member) {
        return Piece{member_rank(c, member), slot(c.index), c.own() * size};
      },
      [&](int member) {
        return Piece{member_rank(c, member), slot(member), c.counts[static_cast<size_t>(member)] * size};
      });
}

Status Communicator::all_to_all(const Collective& c) {
  const int64_t size = size_of(c.type), own = c.own() * size;
  char* x = static_cast<char*>(const_cast<void*>(c.x));
  char* y = static_cast<char*>(c.y);
  if (own > 0) std::memcpy(y + c.index * own, x + c.offset(c.index) * size, static_cast<size_t>(own));
  return exchange(
      c,
      [&](int member) {
        return Piece{member_rank(c, member), x + c.offset(member) * size, c.counts[static_cast<size_t>(member)] * size};
      },
      [&](int member) {
        return Piece{member_rank(c, member), y + member * own, own};
      });
}

/// In exchanges of so many elements of each part that the work memory holds what comes. `y` is where this rank's part goes.
Status Communicator::reduce_scatter(const Collective& c, char* y) {
  const int64_t size = size_of(c.type), members = static_cast<int64_t>(c.counts.size());
  const int64_t chunk = std::max<int64_t>(1, staging_bytes / (members * size));
  const int64_t longest = *std::max_element(c.counts.begin(), c.counts.end());
  char* x = static_cast<char*>(const_cast<void*>(c.x));
  for (int64_t begin = 0; begin < std::max<int64_t>(1, longest); begin += chunk) {
    const auto length = [&](int member) { return std::clamp<int64_t>(c.counts[static_cast<size_t>(member)] - begin, 0, chunk); };
    const int64_t own = length(c.index) * size;
    staging_.resize(std::max(staging_.size(), static_cast<size_t>(members * own)));
    if (own > 0) std::memcpy(staging_.data() + c.index * own, x + (c.offset(c.index) + begin) * size, static_cast<size_t>(own));
    HALO_RETURN_IF_ERROR(exchange(
        c,
        [&](int member) {
          return Piece{member_rank(c, member), x + (c.offset(member) + begin) * size, length(member) * size};
        },
        [&](int member) {
          return Piece{member_rank(c, member), staging_.data() + member * own, own};
        }));
    HALO_RETURN_IF_ERROR(combine_cpu(c.type, c.reduction, staging_.data(), members, length(c.index), y + begin * size));
  }
  return {};
}

}  // namespace halo::comm
