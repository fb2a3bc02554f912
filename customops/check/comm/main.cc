// One rank of a world of processes, started by mpirun: halo-comm-check PART [TIME LIMIT]; or by anyone, who says which one it is:
// halo-comm-check PART TIME_LIMIT PORT RANK RANKS. Every rank prints one line, with "(says it)" where it is the one to say why all end. Exit code 1 where
// something is not as it should be or ranks do not meet, 3 where a collective ended with an error, which it is to do in all other parts but `exact`.
#include <unistd.h>
#include <csignal>
#include <cstdlib>
#include <iostream>
#include <random>
#include <sstream>
#include <string>
#include <vector>

#include "comm/communicator.h"
#include "comm/launched_ranks.h"
#include "comm/mpi_transport.h"
#include "comm/tcp_transport.h"

namespace halo::comm {

namespace {

/// An element of a rank's tensor: whole, so that sums are exact.
float element(int rank, int64_t i) { return static_cast<float>((rank + 1) * 1000 + i % 997); }

Collective collective(Kind kind, const std::string& node, int rank, const std::vector<int64_t>& counts, const std::vector<float>& x, std::vector<float>& y) {
  return {.kind = kind,
          .reduction = Reduction::kSum,
          .type = DType::kFloat,
          .node = node,
          .group = "world",
          .index = rank,
          .counts = counts,
          .x = x.data(),
          .y = y.data()};
}

struct Exact {
  Communicator& ranks;
  std::string problem;
  int64_t sent = 0;

  void expect(bool holds, const std::string& what) {
    if (!holds && problem.empty()) problem = what;
  }

  void round(uint32_t seed) {
    std::mt19937 random(seed);  // the same on all ranks
    const int world = ranks.world(), self = ranks.rank();
    std::vector<int64_t> counts;
    int64_t total = 0, first = 0;
    for (int rank = 0; rank < world; ++rank) {
      if (rank == self) first = total;
      total += counts.emplace_back(static_cast<int64_t>(random() % (seed == 0 ? 3 : 40'000)));
    }
    const int64_t own = counts[static_cast<size_t>(self)];
    std::vector<float> x(static_cast<size_t>(total)), shard(static_cast<size_t>(own)), gathered(x.size()), reduced(shard.size()), all(x.size()),
        exchanged(shard.size() * static_cast<size_t>(world));
    for (int64_t i = 0; i < total; ++i) x[static_cast<size_t>(i)] = element(self, i);
    for (int64_t i = 0; i < own; ++i) shard[static_cast<size_t>(i)] = element(self, i);
    const Collective started[] = {
        collective(Kind::kAllGather, "gather", self, counts, shard, gathered), collective(Kind::kReduceScatter, "reduce", self, counts, x, reduced),
        collective(Kind::kAllReduce, "sum", self, even_parts(total, world), x, all), collective(Kind::kAllToAll, "exchange", self, counts, x, exchanged)};
    for (const Collective& c : started) {
      const Status status = ranks.start(c);
      expect(status.ok(), status.message());
      sent += c.sent_bytes();
    }
    for (const Collective& c : started) {
      const Status status = ranks.wait(c.y);
      expect(status.ok(), status.message());
    }
    const auto sum = [&](int64_t i) { return static_cast<float>(world * (world + 1) / 2 * 1000 + world * (i % 997)); };
    for (int64_t i = 0; i < total; ++i) expect(all[static_cast<size_t>(i)] == sum(i), "sum");
    for (int64_t i = 0; i < own; ++i) expect(reduced[static_cast<size_t>(i)] == sum(first + i), "rows of the sum");
    int64_t at = 0;
    for (int rank = 0; rank < world; ++rank) {
      for (int64_t i = 0; i < counts[static_cast<size_t>(rank)]; ++i) expect(gathered[static_cast<size_t>(at++)] == element(rank, i), "gathered rows");
      for (int64_t i = 0; i < own; ++i) expect(exchanged[static_cast<size_t>(rank * own + i)] == element(rank, first + i), "exchanged rows");
    }
  }
};

/// "" where all is right.
std::string exact(Communicator& ranks) {
  Exact check{ranks, {}};
  ranks.staging_bytes = 1 << 16;  // several exchanges a reduction
  for (uint32_t seed = 0; seed < 8; ++seed) check.round(seed);
  std::vector<std::string> all;
  const Status status = ranks.gather("words", std::string(static_cast<size_t>(ranks.rank()) * 100'000, 'w'), 0, &all);
  check.expect(status.ok(), status.message());
  for (size_t rank = 0; rank < all.size(); ++rank) check.expect(all[rank].size() == rank * 100'000, "words of any length");
  int64_t bytes = 0;
  for (const auto& [key, count] : ranks.counts()) bytes += count.bytes;
  check.expect(bytes == check.sent, "bytes sent: " + std::to_string(check.sent) + ", counted " + std::to_string(bytes));
  return check.problem;
}

/// Collectives until one ends with an error, which rank 1 causes in the second.
std::string broken(Communicator& ranks, const std::string& part) {
  for (int step = 0; step < 3; ++step) {
    const bool is_it = step == 1 && ranks.rank() == 1;
    if (is_it && part.starts_with("stops")) kill(getpid(), SIGSTOP);
    if (step == 1 && part == "stops at work") {  // which may take an hour
      std::vector<std::string> all;
      const Status status = ranks.gather("work", "", 3600, &all);
      return status.message();
    }
    if (is_it && part.starts_with("dies")) kill(getpid(), SIGKILL);
    if (step == 1 && part == "dies while others compute") {
      for (int waited = 0; waited < 10'000 && ranks.problem().empty(); ++waited) usleep(1000);
      return ranks.problem();
    }
    if (is_it && part == "fails") ranks.fail("no space is left on the disk");
    const std::vector<int64_t> counts(static_cast<size_t>(ranks.world()), 300'000);
    std::vector<float> x(300'000), y(x.size() * counts.size());
    const auto c = collective(Kind::kAllGather, is_it && part == "differs" ? "another" : "gather " + std::to_string(step), ranks.rank(), counts, x, y);
    Status status = ranks.start(c);
    if (status.ok()) status = ranks.wait(c.y);
    if (!status.ok()) return status.message();
  }
  return "";
}

}  // namespace

int run(const std::string& part, std::unique_ptr<Transport> transport) {
  std::string line;
  int code = 0;
  {
    Status status;
    Communicator ranks(std::move(transport), &status);
    line = status.ok() ? "rank " + std::to_string(ranks.rank()) + " of " + std::to_string(ranks.world()) + ": " : "";
    const std::string problem = !status.ok() ? status.message() : (part == "exact" ? exact(ranks) : broken(ranks, part));
    code = problem.empty() ? 0 : (part == "exact" || !status.ok() ? 1 : 3);
    if (ranks.failure().speaks) line += "(says it) ";
    line += problem.empty() ? "ok\n" : problem + "\n";
  }
  std::cout << line << std::flush;
  if (code != 0) usleep(300'000);  // mpirun ends the others as soon as one has ended with an error; they are to have their say
  return code;
}

}  // namespace halo::comm

int main(int argc, char** argv) {
  std::signal(SIGTERM, SIG_IGN);  // mpirun's, a second before it kills: ranks say what they know of the one that ended
  const std::string part = argc > 1 ? argv[1] : "exact";
  const double timeout_seconds = argc > 2 ? std::atof(argv[2]) : 25;
  if (part == "stops before it meets" && halo::comm::launched_rank() == 1) kill(getpid(), SIGSTOP);
  const auto number = [&](int i) { return std::atoi(argv[i]); };
  return halo::comm::run(part, argc > 5 ? halo::comm::tcp_transport("127.0.0.1", number(3), number(4), number(5), number(5), timeout_seconds)
                                        : halo::comm::mpi_transport(timeout_seconds));
}
