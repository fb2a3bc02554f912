// What programs call that open communicators. A function that returns text returns an error, or null where there is none; the text lives until the next call
// of the thread.
#include <cmath>
#include <sstream>
#include <string_view>

#include "comm/communicator.h"
#include "comm/mpi_transport.h"
#include "comm/tcp_transport.h"
#include "comm/threads_transport.h"
#include "common/integer_text.h"

namespace halo::comm {

namespace {

const char* keep(const std::string& text) {
  thread_local std::string kept;
  kept = text;
  return kept.c_str();
}

const char* error_of(const Status& status) { return status.ok() ? nullptr : keep(status.message()); }

/// What an operator's `kind` asks for: what carries, and what carries what lies on a GPU.
struct Kinds {
  std::string transport;
  DeviceCarrier device_carrier;

  explicit Kinds(const std::string& kind)
      : transport(kind.substr(0, kind.find('+'))),
        device_carrier(kind.ends_with("+nccl")     ? DeviceCarrier::kNccl
                       : kind.ends_with("+copies") ? DeviceCarrier::kCopies
                                                   : DeviceCarrier::kHost) {}
};

Status make_transport(const std::string& kind, const std::string& name, int rank, int world, int ranks_per_node, double timeout_seconds,
                      std::unique_ptr<Transport>* made) {
  HALO_REQUIRE(std::isfinite(timeout_seconds) && timeout_seconds > 0, "a time limit above 0 s", timeout_seconds, "Give another.");
  if (kind == "mpi") {
    *made = mpi_transport(timeout_seconds);
    return {};
  }
  HALO_REQUIRE(kind == "threads" || kind == "tcp", "a communicator of kind threads, mpi or tcp", "'" << kind << "'", "Give one of them.");
  HALO_REQUIRE(world >= 1 && rank >= 0 && rank < world, "a rank below the number of ranks", rank << " of " << world, "Give each rank its own number.");
  HALO_REQUIRE(ranks_per_node >= 1 && world % ranks_per_node == 0, "as many ranks on each machine", world << " ranks, " << ranks_per_node << " a machine",
               "Start the same number on each.");
  if (kind == "threads") {
    *made = threads_transport(name, rank, world, ranks_per_node, timeout_seconds);
    return {};
  }
  const size_t colon = name.rfind(':');
  const int port = colon == std::string::npos ? 0 : integer_of<int>(std::string_view(name).substr(colon + 1)).value_or(0);
  HALO_REQUIRE(port > 0 && port < 65536, "an address and a port, HOST:PORT", "'" << name << "'", "Give rank 0's address and a port that is free there.");
  *made = tcp_transport(name.substr(0, colon), port, rank, world, ranks_per_node, timeout_seconds);
  return {};
}

Status open(const std::string& kind, const std::string& name, int rank, int world, int ranks_per_node, double timeout_seconds, int64_t* id) {
  std::unique_ptr<Transport> transport;
  HALO_RETURN_IF_ERROR(make_transport(Kinds(kind).transport, name, rank, world, ranks_per_node, timeout_seconds, &transport));
  Status status;
  auto communicator = std::make_shared<Communicator>(std::move(transport), &status);
  HALO_RETURN_IF_ERROR(status);
  communicator->device_carrier = Kinds(kind).device_carrier;
  *id = add(std::move(communicator));
  return {};
}

Status closed() { return Status::error("expected an open communicator, found one that was closed"); }

}  // namespace

}  // namespace halo::comm

#define HALO_EXPORT __attribute__((visibility("default")))

extern "C" {

/// kind: threads, of which `name` is their world's; mpi, whose ranks are MPI's own; tcp, whose `name` is rank 0's HOST:PORT; with +nccl or
/// +copies behind it where tensors on a GPU go by NCCL, or by copies between GPUs of one machine.
HALO_EXPORT const char* HaloCommunicatorOpen(const char* kind, const char* name, int rank, int world, int ranks_per_node, double timeout_seconds, int64_t* id) {
  return halo::comm::error_of(halo::comm::open(kind, name, rank, world, ranks_per_node, timeout_seconds, id));
}

HALO_EXPORT void HaloCommunicatorClose(int64_t id) { halo::comm::remove(id); }

/// place: rank, ranks, ranks of one machine.
HALO_EXPORT const char* HaloCommunicatorPlace(int64_t id, int* place) {
  const auto communicator = halo::comm::find(id);
  if (communicator == nullptr) return halo::comm::error_of(halo::comm::closed());
  place[0] = communicator->rank();
  place[1] = communicator->world();
  place[2] = communicator->ranks_per_node();
  return nullptr;
}

/// Calls take(context, rank, data, bytes) with what each rank gave, in order.
HALO_EXPORT const char* HaloCommunicatorGather(int64_t id, const char* what, const void* own, int64_t bytes, double timeout_seconds,
                                               void (*take)(void* context, int rank, const void* data, int64_t bytes), void* context) {
  const auto communicator = halo::comm::find(id);
  if (communicator == nullptr) return halo::comm::error_of(halo::comm::closed());
  std::vector<std::string> all;
  const auto status = communicator->gather(what, std::string(static_cast<const char*>(own), static_cast<size_t>(bytes)), timeout_seconds, &all);
  if (!status.ok()) return halo::comm::error_of(status);
  for (size_t rank = 0; rank < all.size(); ++rank) take(context, static_cast<int>(rank), all[rank].data(), static_cast<int64_t>(all[rank].size()));
  return nullptr;
}

HALO_EXPORT void HaloCommunicatorFail(int64_t id, const char* cause) {
  if (const auto communicator = halo::comm::find(id)) communicator->fail(cause);
}

/// Why ranks end, as one of them is to say it; `speaks` is 1 where it is this one.
HALO_EXPORT const char* HaloCommunicatorFailure(int64_t id, int* speaks) {
  const auto communicator = halo::comm::find(id);
  if (communicator == nullptr) return halo::comm::error_of(halo::comm::closed());
  const auto failure = communicator->failure();
  *speaks = failure.speaks ? 1 : 0;
  return failure.text.empty() ? nullptr : halo::comm::keep(failure.text);
}

/// What went wrong first.
HALO_EXPORT const char* HaloCommunicatorProblem(int64_t id) {
  const auto communicator = halo::comm::find(id);
  if (communicator == nullptr) return halo::comm::error_of(halo::comm::closed());
  const std::string problem = communicator->problem();
  return problem.empty() ? nullptr : halo::comm::keep(problem);
}

/// A line a collective, group and type: operator, group, type, calls, bytes sent to others, seconds it ran, seconds somebody waited; tabs between.
HALO_EXPORT const char* HaloCommunicatorCounts(int64_t id) {
  const auto communicator = halo::comm::find(id);
  std::ostringstream text;
  text.precision(9);
  if (communicator != nullptr) {
    for (const auto& [key, count] : communicator->counts()) {
      const auto& [kind, group, type] = key;
      text << halo::comm::name_of(kind) << '\t' << group << '\t' << halo::name_of(type) << '\t' << count.calls << '\t' << count.bytes << '\t' << count.seconds
           << '\t' << count.waited << '\n';
    }
  }
  return halo::comm::keep(text.str());
}
}
