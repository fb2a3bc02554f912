#include "common/arena.h"

#include <algorithm>
#include <iterator>

namespace halo::cuda {

namespace {

int64_t round_up(int64_t n, int64_t step) { return (n + step - 1) / step * step; }

/// Backing is asked for in pieces of at least this: few mappings, and little too much.
constexpr int64_t kLeastGrowth = int64_t{32} << 20;

}  // namespace

void* Arena::allocate(int64_t bytes, Order order) {
  const std::lock_guard lock(mutex_);
  const int64_t wanted = round_up(std::max<int64_t>(bytes, 1), kAlignment);
  auto block = find_free(wanted, order);
  if (block == blocks_.end()) block = extend(wanted, order);
  if (block == blocks_.end()) return nullptr;
  unlist(block);
  if (block->second.bytes > wanted) {
    const auto rest = blocks_.emplace(block->first + wanted, Block{block->second.bytes - wanted, true, block->second.order}).first;
    list(rest);
    block->second.bytes = wanted;
  }
  block->second.is_free = false;
  block->second.order = order;
  stats_.in_use += wanted;
  stats_.peak = std::max(stats_.peak, stats_.in_use);
  ++stats_.allocations;
  return backing_.base() + block->first;
}

Order Arena::free(void* data) {
  const std::lock_guard lock(mutex_);
  const auto block = blocks_.find(static_cast<char*>(data) - backing_.base());
  const Order order = block->second.order;
  stats_.in_use -= block->second.bytes;
  block->second.is_free = true;
  list(join(block));
  return order;
}

Order Arena::order_of(void* data) const {
  const std::lock_guard lock(mutex_);
  return blocks_.find(static_cast<char*>(data) - backing_.base())->second.order;
}

void Arena::release(Order order) {
  const std::lock_guard lock(mutex_);
  if (order == kSettled) return;
  while (true) {
    const auto first = free_.lower_bound({order, 0, 0});
    if (first == free_.end() || std::get<0>(*first) != order) return;
    const auto block = blocks_.find(std::get<2>(*first));
    free_.erase(first);
    block->second.order = kSettled;
    list(join(block));
  }
}

void Arena::shrink() {
  const std::lock_guard lock(mutex_);
  if (blocks_.empty()) return;
  const auto last = std::prev(blocks_.end());
  if (!last->second.is_free || last->second.order != kSettled) return;
  const int64_t kept = backing_.shrink(last->first);
  unlist(last);
  last->second.bytes -= mapped_ - kept;
  mapped_ = kept;
  if (last->second.bytes > 0) {
    list(last);
  } else {
    blocks_.erase(last);
  }
}

ArenaStats Arena::stats() const {
  const std::lock_guard lock(mutex_);
  ArenaStats result = stats_;
  result.mapped = mapped_;
  result.reserved = backing_.reserved_bytes();
  for (const auto& [order, bytes, offset] : free_) result.largest = std::max(result.largest, bytes);
  return result;
}

void Arena::reset_peak() {
  const std::lock_guard lock(mutex_);
  stats_.peak = stats_.in_use;
}

/// The smallest block that has room, of the order itself or free for everyone.
Arena::Blocks::iterator Arena::find_free(int64_t bytes, Order order) {
  auto best = free_.end();
  for (const Order from : {order, kSettled}) {
    const auto found = free_.lower_bound({from, bytes, 0});
    if (found == free_.end() || std::get<0>(*found) != from) continue;
    if (best == free_.end() || std::get<1>(*found) < std::get<1>(*best)) best = found;
  }
  return best == free_.end() ? blocks_.end() : blocks_.find(std::get<2>(*best));
}

/// Backs more behind the end; a free block there becomes part of it.
Arena::Blocks::iterator Arena::extend(int64_t bytes, Order order) {
  int64_t has = 0;
  if (!blocks_.empty()) {
    const Block& last = std::prev(blocks_.end())->second;
    if (last.is_free && (last.order == kSettled || last.order == order)) has = last.bytes;
  }
  const int64_t needed = round_up(bytes - has, backing_.granularity());
  const int64_t room = backing_.reserved_bytes() - mapped_;
  if (needed > room) return blocks_.end();
  int64_t growth = std::min(std::max(needed, round_up(kLeastGrowth, backing_.granularity())), room);
  if (!backing_.grow(mapped_, growth)) {
    growth = needed;
    if (!backing_.grow(mapped_, growth)) return blocks_.end();
  }
  const Order joined = has > 0 ? std::prev(blocks_.end())->second.order : kSettled;
  auto block = blocks_.emplace(mapped_, Block{growth, true, joined}).first;
  mapped_ += growth;
  block = join(block);
  list(block);
  return block;
}

/// Joins a free block that is not listed with its neighbours, which are taken off the list.
Arena::Blocks::iterator Arena::join(Blocks::iterator block) {
  const auto next = std::next(block);
  if (next != blocks_.end() && joins(block->second, next->second)) {
    unlist(next);
    block->second.bytes += next->second.bytes;
    blocks_.erase(next);
  }
  if (block != blocks_.begin()) {
    const auto before = std::prev(block);
    if (joins(before->second, block->second)) {
      unlist(before);
      before->second.bytes += block->second.bytes;
      blocks_.erase(block);
      return before;
    }
  }
  return block;
}

}  // namespace halo::cuda
