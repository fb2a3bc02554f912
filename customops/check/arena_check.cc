#include "common/arena.h"

#include <map>
#include <vector>

#include "check/check.h"

namespace halo::check {

using cuda::Arena;
using cuda::ArenaStats;
using cuda::Order;

namespace {

/// Addresses that nobody reads or writes, of which `limit` bytes can be backed.
class Pretence final : public cuda::Backing {
 public:
  explicit Pretence(int64_t limit) : limit_(limit) {}
  char* base() const override { return reinterpret_cast<char*>(int64_t{1} << 40); }
  int64_t reserved_bytes() const override { return int64_t{1} << 36; }
  int64_t granularity() const override { return kPiece; }
  bool grow(int64_t mapped, int64_t bytes) override {
    expect(mapped == mapped_ && bytes % kPiece == 0, "backing grows at its end, by whole pieces");
    if (mapped_ + bytes > limit_) return false;
    mapped_ += bytes;
    return true;
  }
  int64_t shrink(int64_t wanted) override { return mapped_ = (wanted + kPiece - 1) / kPiece * kPiece; }

  static constexpr int64_t kPiece = int64_t{2} << 20;

 private:
  int64_t limit_;
  int64_t mapped_ = 0;
};

constexpr int64_t kMega = int64_t{1} << 20;

}  // namespace

HALO_CHECK(arena_gives_the_smallest_block_and_joins_neighbours) {
  Pretence backing(64 * kMega);
  Arena arena(backing);
  char* a = static_cast<char*>(arena.allocate(4 * kMega, 1));
  char* b = static_cast<char*>(arena.allocate(8 * kMega, 1));
  char* c = static_cast<char*>(arena.allocate(1 * kMega, 1));
  expect(b == a + 4 * kMega && c == b + 8 * kMega, "blocks follow each other");
  arena.free(a);
  arena.free(c);  // joins the rest of what is backed
  expect(arena.allocate(3 * kMega, 1) == a, "the smaller of two blocks is taken");
  arena.free(b);
  expect(arena.allocate(9 * kMega, 1) == a + 3 * kMega, "free neighbours are one block");
}

HALO_CHECK(arena_keeps_a_freed_block_in_its_order_until_released) {
  Pretence backing(4 * kMega);
  Arena arena(backing);
  void* a = arena.allocate(4 * kMega, 1);
  expect(arena.free(a) == 1, "free tells the order");
  expect(arena.allocate(kMega, 2) == nullptr, "another order does not get it");
  void* b = arena.allocate(kMega, 1);
  expect(b == a, "its own order gets it at once");
  arena.free(b);
  arena.release(1);
  expect(arena.allocate(4 * kMega, 2) == a, "after release it is for everyone, in one piece");
}

HALO_CHECK(arena_backs_what_is_needed_where_more_is_not_to_be_had) {
  Pretence backing(6 * kMega);
  Arena arena(backing);
  void* a = arena.allocate(5 * kMega, 1);
  expect(a != nullptr && arena.stats().mapped == 6 * kMega, "least growth does not fit, what is needed does");
  expect(arena.allocate(2 * kMega, 1) == nullptr, "there is no more");
  expect(arena.allocate(1, 1) != nullptr, "but what is left is used");
  expect(arena.stats().in_use == 5 * kMega + Arena::kAlignment, "statistics count whole blocks");
}

HALO_CHECK(arena_shrinks_to_what_is_in_use) {
  Pretence backing(256 * kMega);
  Arena arena(backing);
  void* a = arena.allocate(3 * kMega, 1);
  void* b = arena.allocate(100 * kMega, 1);
  arena.free(b);
  arena.shrink();
  expect(arena.stats().mapped > 100 * kMega, "nothing is given back that work may still use");
  arena.release(1);
  arena.shrink();
  expect(arena.stats().mapped == 4 * kMega, "the tail is given back by whole pieces");
  expect(arena.stats().peak == 103 * kMega, "the peak stays");
  arena.free(a);
  arena.release(1);
  expect(arena.allocate(4 * kMega, 2) == a, "what is left is one block again");
}

/// Against a plain list: no two blocks in use overlap, and what another order may still use is not given away.
HALO_CHECK(arena_never_gives_bytes_twice) {
  struct Use {
    int64_t bytes;
    Order order;
  };
  Pretence backing(int64_t{512} * kMega);
  Arena arena(backing);
  std::map<char*, Use> in_use, in_flight;
  std::mt19937 random(7);
  for (int step = 0; step < 20000; ++step) {
    const Order order = 1 + random() % 3;
    const auto overlaps = [](const std::map<char*, Use>& uses, char* at, int64_t bytes, Order but) {
      for (const auto& [other, use] : uses) {
        if (use.order != but && other < at + bytes && at < other + use.bytes) return true;
      }
      return false;
    };
    switch (random() % 8) {
      case 0: {
        arena.release(order);
        std::erase_if(in_flight, [&](const auto& entry) { return entry.second.order == order; });
        break;
      }
      case 1:
      case 2:
      case 3: {
        if (in_use.empty()) break;
        const auto chosen = std::next(in_use.begin(), static_cast<int64_t>(random() % in_use.size()));
        arena.free(chosen->first);
        in_flight.insert(*chosen);
        in_use.erase(chosen);
        break;
      }
      default: {
        const int64_t bytes = 1 + static_cast<int64_t>(random() % (1 << (random() % 23)));
        char* at = static_cast<char*>(arena.allocate(bytes, order));
        if (at == nullptr) break;
        expect(!overlaps(in_use, at, bytes, cuda::kSettled), "a block in use is given again");
        expect(!overlaps(in_flight, at, bytes, order), "a block that another order may use is given away");
        std::erase_if(in_flight, [&](const auto& entry) { return entry.first < at + bytes && at < entry.first + entry.second.bytes; });
        in_use.insert({at, {bytes, order}});
      }
    }
  }
  int64_t total = 0;
  for (const auto& [at, use] : in_use) total += (use.bytes + Arena::kAlignment - 1) / Arena::kAlignment * Arena::kAlignment;
  expect(arena.stats().in_use == total, "statistics add up");
  for (const auto& [at, use] : in_use) arena.free(at);
  for (const Order order : {1, 2, 3}) arena.release(order);
  expect(arena.stats().largest == arena.stats().mapped && arena.stats().in_use == 0, "all blocks join again");
}

}  // namespace halo::check
