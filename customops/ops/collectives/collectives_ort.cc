#include <charconv>
#include <cstring>
#include <memory>
#include <string>

#include "comm/communicator.h"
#include "ops/binding.h"

#ifdef HALO_CUDA
#include "provider/collectives/device_collectives.h"
#endif

namespace halo {

namespace {

constexpr const char* kAnyType = "T: float, float16, bfloat16, int8, uint8, int32, int64, float8e4m3fn, float8e5m2";

/// The session's entry that has the number of its communicator.
constexpr const char* kCommunicatorEntry = "halo.communicator";

/// Which rank of which group a node is of, and who carries what it sends.
struct Place {
  explicit Place(const Attributes& attributes)
      : rows(attributes.integers("rows")),
        ranks(rows.empty() ? static_cast<int>(attributes.integer("ranks", 1)) : static_cast<int>(rows.size())),
        rank(static_cast<int>(attributes.integer("rank", 0))),
        group(attributes.text("group")),
        node(attributes.node_name()),
        communicator(attributes.setting(kCommunicatorEntry)) {
    if (group.empty()) group = "world";
  }

  Status check() const {
    HALO_REQUIRE(ranks >= 1 && rank >= 0 && rank < ranks, "a rank below the number of ranks", "rank " << rank << " of " << ranks, "Shard the graph again.");
    return {};
  }

  int64_t all_rows() const {
    int64_t sum = 0;
    for (const int64_t count : rows) sum += count;
    return sum;
  }
  int64_t own_rows() const { return rows[static_cast<size_t>(rank)]; }

  std::vector<int64_t> rows;
  int ranks, rank;
  std::string group, node, communicator;
};

/// The communicator of a session's entry.
Status find_communicator(const std::string& entry, std::shared_ptr<comm::Communicator>* found) {
  int64_t id = 0;
  std::from_chars(entry.data(), entry.data() + entry.size(), id);
  *found = comm::find(id);
  HALO_REQUIRE(*found != nullptr, "an open communicator, whose number is the session's entry " << kCommunicatorEntry, "'" << entry << "'",
               "Open one with as many ranks as the graph has, and keep it open while the session runs.");
  return {};
}

Status with_rows(const Shape& x, int64_t expected, int64_t rows, Shape* y) {
  HALO_REQUIRE(x.rank() > 0 && Shape::may_equal(x[0], expected), "X of " << expected << " rows", x, "Shard the graph again.");
  std::vector<int64_t> sizes(x.sizes().begin(), x.sizes().end());
  sizes[0] = rows;
  *y = Shape(sizes);
  return {};
}

template <comm::Kind kind>
struct Start {
  explicit Start(const Attributes& attributes) : place(attributes), reduction(attributes.text("op") == "max" ? Reduction::kMax : Reduction::kSum) {}

  Status infer(Types in, ResultTypes out) const {
    HALO_RETURN_IF_ERROR(place.check());
    out[0] = in[0];
    if (kind == comm::Kind::kAllReduce) return {};
    HALO_REQUIRE(!place.rows.empty(), "attribute rows", "none", "Shard the graph again.");
    const bool gathers = kind == comm::Kind::kAllGather;
    const int64_t rows = gathers ? place.all_rows() : place.own_rows() * (kind == comm::Kind::kAllToAll ? place.ranks : 1);
    return with_rows(in[0].shape, gathers ? place.own_rows() : place.all_rows(), rows, &out[0].shape);
  }

  Status compute(Call& c) const {
    const char* x = c.data<char>(0);
    char* y = c.result<char>(0);
    if (place.ranks == 1) {
      const int64_t bytes = c.in(0).shape.count() * size_of(c.in(0).type);
      if (x != y && bytes > 0) std::memcpy(y, x, static_cast<size_t>(bytes));
      return {};
    }
    std::shared_ptr<comm::Communicator> communicator;
    HALO_RETURN_IF_ERROR(find_communicator(place.communicator, &communicator));
    return communicator->start(collective(c.in(0), x, y));
  }

#ifdef HALO_CUDA
  Status compute_cuda(cuda::OpLaunch& c) const {
    if (place.ranks > 1) {
      std::shared_ptr<comm::Communicator> communicator;
      HALO_RETURN_IF_ERROR(find_communicator(place.communicator, &communicator));
      cuda::DeviceCollectives* collectives = nullptr;
      HALO_RETURN_IF_ERROR(cuda::DeviceCollectives::of(c.device(), *communicator, &collectives));
      return collectives->start(collective(c.in(0), c.data(0), c.result(0)));
    }
    const auto bytes = static_cast<size_t>(c.in(0).shape.count() * size_of(c.in(0).type));
    return HALO_CUDA_STATUS(cudaMemcpyAsync(c.result(0), c.data(0), bytes, cudaMemcpyDeviceToDevice, c.stream()));
  }
#endif

  comm::Collective collective(const TensorType& x, const void* data, void* result) const {
    comm::Collective made{.kind = kind,
                          .reduction = reduction,
                          .type = x.type,
                          .node = place.node,
                          .group = place.group,
                          .index = place.rank,
                          .counts = {},
                          .x = data,
                          .y = result};
    if (kind == comm::Kind::kAllReduce) {
      made.counts = comm::even_parts(x.shape.count(), place.ranks);
    } else {
      for (const int64_t rows : place.rows) made.counts.push_back(rows * x.shape.count(1, x.shape.rank()));
    }
    return made;
  }

  static constexpr bool kOwnProviderOnly = true;  // collectives run beside HaloCuda's stream
  Place place;
  Reduction reduction;
};

}  // namespace

struct AllGatherStart : Start<comm::Kind::kAllGather> {
  static constexpr Schema schema{.name = "AllGatherStart", .in = "X: T", .out = "Y: T", .types = kAnyType};
  using Start::Start;
};

struct ReduceScatterStart : Start<comm::Kind::kReduceScatter> {
  static constexpr Schema schema{.name = "ReduceScatterStart", .in = "X: T", .out = "Y: T", .types = "T: float, float16, bfloat16"};
  using Start::Start;
};

struct AllReduceStart : Start<comm::Kind::kAllReduce> {
  static constexpr Schema schema{.name = "AllReduceStart", .in = "X: T", .out = "Y: T", .types = "T: float, float16, bfloat16, int32, int64"};
  using Start::Start;
};

struct AllToAllStart : Start<comm::Kind::kAllToAll> {
  static constexpr Schema schema{.name = "AllToAllStart", .in = "X: T", .out = "Y: T", .types = kAnyType};
  using Start::Start;
};

struct CollectiveWait {
  static constexpr Schema schema{.name = "CollectiveWait",
                                 .in = "Y: T, after...?: A",
                                 .out = "Z: T",
                                 .types =
                                     "T: float, float16, bfloat16, int8, uint8, int32, int64, float8e4m3fn, float8e5m2; A: float, float16, bfloat16, "
                                     "int8, uint8, int32, int64, float8e4m3fn, float8e5m2"};
  static constexpr bool kAliasesFirstInput = true;

  explicit CollectiveWait(const Attributes& attributes) : communicator(attributes.setting(kCommunicatorEntry)) {}

  Status infer(Types in, ResultTypes out) const {
    out[0] = in[0];
    return {};
  }

  Status compute(Call& c) const {
    const char* y = c.data<char>(0);
    if (!communicator.empty()) {
      std::shared_ptr<comm::Communicator> found;
      HALO_RETURN_IF_ERROR(find_communicator(communicator, &found));
      HALO_RETURN_IF_ERROR(found->wait(y));
    }
    char* z = c.result<char>(0);
    const int64_t bytes = c.in(0).shape.count() * size_of(c.in(0).type);
    if (z != y && bytes > 0) std::memcpy(z, y, static_cast<size_t>(bytes));
    return {};
  }

#ifdef HALO_CUDA
  Status compute_cuda(cuda::OpLaunch& c) const {
    const void* y = c.data(0);
    if (!communicator.empty()) {
      std::shared_ptr<comm::Communicator> found;
      HALO_RETURN_IF_ERROR(find_communicator(communicator, &found));
      cuda::DeviceCollectives* collectives = nullptr;
      HALO_RETURN_IF_ERROR(cuda::DeviceCollectives::of(c.device(), *found, &collectives));
      HALO_RETURN_IF_ERROR(collectives->wait(y));
    }
    void* z = c.result(0);
    if (y == z) return {};
    const auto bytes = static_cast<size_t>(c.in(0).shape.count() * size_of(c.in(0).type));
    return HALO_CUDA_STATUS(cudaMemcpyAsync(z, y, bytes, cudaMemcpyDeviceToDevice, c.stream()));
  }
#endif

  static constexpr bool kOwnProviderOnly = true;
  std::string communicator;
};

HALO_REGISTER_OP(AllGatherStart);
HALO_REGISTER_OP(ReduceScatterStart);
HALO_REGISTER_OP(AllReduceStart);
HALO_REGISTER_OP(AllToAllStart);
HALO_REGISTER_OP(CollectiveWait);

}  // namespace halo
