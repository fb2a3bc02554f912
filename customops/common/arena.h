// Memory for tensors, cut from one reserved range of addresses that is backed by more memory as it is needed.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <set>
#include <tuple>

namespace halo::cuda {

/// The range of addresses and what backs it: a device's memory, or a check program's pretence of it.
class Backing {
 public:
  virtual ~Backing() = default;
  virtual char* base() const = 0;
  virtual int64_t reserved_bytes() const = 0;

  /// Backing comes in multiples of this.
  virtual int64_t granularity() const = 0;

  /// Backs [mapped, mapped + bytes), which lies behind what is backed already; false where there is no memory for it.
  virtual bool grow(int64_t mapped, int64_t bytes) = 0;

  /// Gives back whole pieces behind `wanted` and returns how much stays backed.
  virtual int64_t shrink(int64_t wanted) = 0;
};

/// Work that runs in one order, such as that of a stream: what one piece of it has freed, a later one may use although neither has run yet.
using Order = uint64_t;

/// The host's own order: a block is used and freed with nothing in flight, or has been waited for.
inline constexpr Order kSettled = 0;

struct ArenaStats {
  int64_t in_use = 0;   // bytes of blocks in use
  int64_t peak = 0;     // the most that it was
  int64_t mapped = 0;   // bytes that are backed
  int64_t largest = 0;  // the largest free block
  int64_t allocations = 0;
  int64_t reserved = 0;
};

/// Best fit, with free neighbours joined. A block that was taken in an order goes back to it, and is for others only after release(). Safe from several
/// threads. The logic touches no memory itself.
class Arena {
 public:
  /// Alignment and least size of a block: that of cudaMalloc, which kernels with wide accesses count on.
  static constexpr int64_t kAlignment = 256;

  explicit Arena(Backing& backing) : backing_(backing) {}
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  /// Null where neither a free block nor more backing is to be had.
  void* allocate(int64_t bytes, Order order);

  /// The order that the block was taken in. `block` is one that allocate() gave.
  Order free(void* block);

  /// The order that a block in use was taken in.
  Order order_of(void* block) const;

  /// All work of the order has ended: its free blocks are for everyone.
  void release(Order order);

  /// Gives back backing behind the last block in use.
  void shrink();

  ArenaStats stats() const;
  void reset_peak();

 private:
  struct Block {
    int64_t bytes;
    bool is_free;
    Order order;
  };
  using Blocks = std::map<int64_t, Block>;  // by offset, without gaps up to mapped_

  Blocks::iterator find_free(int64_t bytes, Order order);
  Blocks::iterator extend(int64_t bytes, Order order);
  Blocks::iterator join(Blocks::iterator block);
  void list(Blocks::iterator block) { free_.insert({block->second.order, block->second.bytes, block->first}); }
  void unlist(Blocks::iterator block) { free_.erase({block->second.order, block->second.bytes, block->first}); }
  static bool joins(const Block& a, const Block& b) { return a.is_free && b.is_free && a.order == b.order; }

  Backing& backing_;
  mutable std::mutex mutex_;
  Blocks blocks_;
  std::set<std::tuple<Order, int64_t, int64_t>> free_;  // order, bytes, offset
  int64_t mapped_ = 0;
  ArenaStats stats_;
};

}  // namespace halo::cuda
