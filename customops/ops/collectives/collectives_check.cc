// How parts are combined, and collectives of ranks that are threads, whole numbers throughout, so that every sum is exact.
#include <atomic>
#include <cmath>
#include <memory>
#include <thread>

#include "check/check.h"
#include "comm/communicator.h"
#include "comm/threads_transport.h"
#include "ops/collectives/collectives.h"

namespace halo::check::collectives {

namespace {

using comm::Collective;
using comm::Communicator;
using comm::Kind;

/// Calls f(communicator) on a thread a rank.
template <class F>
void on_ranks(int world, int ranks_per_node, double timeout_seconds, F&& f) {
  static std::atomic<int> worlds = 0;
  const std::string name = "check " + std::to_string(++worlds);
  std::vector<std::unique_ptr<Communicator>> ranks;
  for (int rank = 0; rank < world; ++rank) {
    Status status;
    ranks.push_back(std::make_unique<Communicator>(comm::threads_transport(name, rank, world, ranks_per_node, timeout_seconds), &status));
    expect(status.ok(), "rank " + std::to_string(rank) + " opens: " + status.message());
    ranks.back()->staging_bytes = 64;  // several exchanges a reduction
  }
  std::vector<std::thread> threads;
  for (auto& rank : ranks) threads.emplace_back([&] { f(*rank); });
  for (auto& thread : threads) thread.join();
}

Collective collective(Kind kind, const char* node, int index, std::vector<int64_t> counts, const void* x, void* y) {
  return {.kind = kind,
          .reduction = Reduction::kSum,
          .type = DType::kFloat,
          .node = node,
          .group = "world",
          .index = index,
          .counts = std::move(counts),
          .x = x,
          .y = y};
}

void run(Communicator& rank, const Collective& c, const std::string& what) {
  const Status started = rank.start(c);
  expect(started.ok(), what + " starts: " + started.message());
  const Status waited = rank.wait(c.y);
  expect(waited.ok(), what + " ends: " + waited.message());
}

/// An element of rank r's tensor.
float element(int rank, int64_t i) { return static_cast<float>((rank + 1) * 1000 + i); }

}  // namespace

HALO_CHECK(parts_are_combined_in_float32_and_in_order) {
  const std::vector<float> parts = {1, 0x1p24f, -0x1p24f, 1, 5, -0x1p24f};  // three parts of two
  Guarded<float> y(2);
  expect(combine_cpu(DType::kFloat, Reduction::kSum, parts.data(), 3, 2, y.data()).ok(), "sum");
  expect(y.intact() && y[0] == 1 - 0x1p24f + 5 && y[1] == 0x1p24f + 1 - 0x1p24f, "in order");
  expect(combine_cpu(DType::kFloat, Reduction::kMax, parts.data(), 3, 2, y.data()).ok() && y[0] == 5 && y[1] == 0x1p24f, "largest");
  const std::vector<float> bad = {1, NAN, NAN, 1, 2, 3};
  expect(combine_cpu(DType::kFloat, Reduction::kMax, bad.data(), 3, 2, y.data()).ok() && std::isnan(y[0]) && std::isnan(y[1]), "NaN is the largest");
  const auto halves = rounded<BFloat16>({256, 1, 1, 1});  // 256 + 1 is 256 in bfloat16, 259 rounds to 260
  Guarded<BFloat16> sum(1);
  expect(combine_cpu(DType::kBFloat16, Reduction::kSum, halves.data(), 4, 1, sum.data()).ok() && to_float(sum[0]) == 260, "rounded once");
  const std::vector<int64_t> whole = {int64_t{1} << 60, 3, 1, -3};
  Guarded<int64_t> total(2);
  expect(combine_cpu(DType::kInt64, Reduction::kSum, whole.data(), 2, 2, total.data()).ok() && total[0] == (int64_t{1} << 60) + 1 && total[1] == 0, "int64");
  expect(!combine_cpu(DType::kInt8, Reduction::kSum, whole.data(), 2, 2, total.data()).ok(), "codes are refused");
}

HALO_CHECK(collectives_of_threads_are_exact) {
  for (int world = 1; world <= 4; ++world) {
    std::vector<int64_t> counts;
    int64_t total = 0;
    for (int rank = 0; rank < world; ++rank) total += counts.emplace_back(rank == 1 ? 0 : 40 + rank * 7);
    const auto offset = [&](int rank) {
      int64_t sum = 0;
      for (int r = 0; r < rank; ++r) sum += counts[static_cast<size_t>(r)];
      return sum;
    };
    on_ranks(world, world, 20, [&](Communicator& rank) {
      const int self = rank.rank();
      const int64_t own = counts[static_cast<size_t>(self)], first = offset(self);
      const std::string what = "rank " + std::to_string(self) + " of " + std::to_string(world);
      std::vector<float> x(static_cast<size_t>(total)), shard(static_cast<size_t>(own));
      for (int64_t i = 0; i < total; ++i) x[static_cast<size_t>(i)] = element(self, i);
      for (int64_t i = 0; i < own; ++i) shard[static_cast<size_t>(i)] = element(self, i);
      Guarded<float> gathered(total), reduced(own), all(total), exchanged(own * world);
      run(rank, collective(Kind::kAllGather, "a", self, counts, shard.data(), gathered.data()), what + " gathers");
      run(rank, collective(Kind::kReduceScatter, "b", self, counts, x.data(), reduced.data()), what + " reduces");
      run(rank, collective(Kind::kAllReduce, "c", self, comm::even_parts(total, world), x.data(), all.data()), what + " reduces all");
      run(rank, collective(Kind::kAllToAll, "d", self, counts, x.data(), exchanged.data()), what + " exchanges");
      expect(gathered.intact() && reduced.intact() && all.intact() && exchanged.intact(), what + " writes its results alone");
      const auto sum = [&](int64_t i) { return static_cast<float>(world * (world + 1) / 2 * 1000 + world * i); };
      for (int r = 0; r < world; ++r) {
        for (int64_t i = 0; i < counts[static_cast<size_t>(r)]; ++i) expect(gathered[offset(r) + i] == element(r, i), what + " gathered");
        for (int64_t i = 0; i < own; ++i) expect(exchanged[r * own + i] == element(r, first + i), what + " exchanged");
      }
      for (int64_t i = 0; i < own; ++i) expect(reduced[i] == sum(first + i), what + " reduced");
      for (int64_t i = 0; i < total; ++i) expect(all[i] == sum(i), what + " reduced all");
      int64_t bytes = 0, expected = own * (world - 1) + 2 * (total - own);
      const auto parts = comm::even_parts(total, world);
      expected += total - parts[static_cast<size_t>(self)] + parts[static_cast<size_t>(self)] * (world - 1);
      for (const auto& [key, count] : rank.counts()) bytes += count.bytes;
      expect(bytes == expected * 4, what + " counts " + std::to_string(expected * 4) + " bytes, found " + std::to_string(bytes));
    });
  }
}

HALO_CHECK(several_collectives_are_under_way_at_once_and_groups_are_told_apart) {
  on_ranks(4, 2, 20, [](Communicator& rank) {
    const int self = rank.rank();
    const float x = static_cast<float>(self + 1);
    float world[4] = {}, node[2] = {}, peers[2] = {};
    auto c = collective(Kind::kAllGather, "world", self, {1, 1, 1, 1}, &x, world);
    expect(rank.start(c).ok(), "world");
    c = collective(Kind::kAllGather, "node", self % 2, {1, 1}, &x, node);
    c.group = "node";
    expect(rank.start(c).ok(), "node");
    c = collective(Kind::kAllGather, "peers", self / 2, {1, 1}, &x, peers);
    c.group = "peers";
    expect(rank.start(c).ok(), "peers");
    expect(rank.wait(peers).ok() && rank.wait(world).ok() && rank.wait(node).ok(), "all end, waited for in any order");
    const int machine = self / 2 * 2, place = self % 2;
    expect(world[0] == 1 && world[3] == 4, "of the world");
    expect(node[0] == static_cast<float>(machine + 1) && node[1] == static_cast<float>(machine + 2), "of a node");
    expect(peers[0] == static_cast<float>(place + 1) && peers[1] == static_cast<float>(place + 3), "of peers");
    std::vector<std::string> all;
    expect(rank.gather("texts", std::string(static_cast<size_t>(self * 3), 'a'), 0, &all).ok() && all[3].size() == 9 && all[0].empty(), "texts of any length");
    c.index = 1 - c.index;
    expect(!rank.start(c).ok(), "a graph of another rank is refused");
  });
}

HALO_CHECK(a_rank_that_fails_differs_or_stays_away_ends_all_with_its_name) {
  const auto ends = [](const char* what, double seconds, auto&& third) {
    on_ranks(3, 3, seconds, [&](Communicator& rank) {
      const int self = rank.rank();
      const float x = 1;
      float y[3] = {};
      if (self == 2 && !third(rank)) return;
      static_cast<void>(rank.start(collective(Kind::kAllGather, self == 2 ? "other" : "one", self, {1, 1, 1}, &x, y)));
      const Status status = rank.wait(y);
      const std::string& message = status.message();
      expect(!status.ok() && (self == 2 || message.find("rank 2") != std::string::npos), std::string(what) + " at " + std::to_string(self) + ": " + message);
      expect(message.find("AllGatherStart 'o") != std::string::npos || message.find("disk") != std::string::npos, std::string(what) + " names it: " + message);
    });
  };
  ends("a rank that differs", 20, [](Communicator&) { return true; });
  ends("a rank that stays away", 0.2, [](Communicator&) { return false; });
  ends("a rank that fails", 20, [](Communicator& rank) {
    rank.fail("the disk is full");
    return true;
  });
}

}  // namespace halo::check::collectives
