#include <atomic>
#include <cstdlib>
#include <optional>

#include "common/integer_text.h"
#include "provider/collectives/exchange.h"
#include "provider/collectives/nccl_library.h"
#include "provider/products/left_multiprocessors.h"

namespace halo::cuda {

namespace {

/// Multiprocessors that NCCL may take, and products leave: HALO_NCCL_PROCESSORS. 0: NCCL and products take what they will.
Status multiprocessors_of_collectives(int* count) {
  const char* text = std::getenv("HALO_NCCL_PROCESSORS");
  const std::optional<int> given = text == nullptr || *text == '\0' ? 0 : integer_of<int>(text);
  HALO_REQUIRE(given.has_value() && *given >= 0, "HALO_NCCL_PROCESSORS with 0 or more multiprocessors", "'" << text << "'",
               "Give another number, or unset it.");
  *count = *given;
  return {};
}

class NcclExchange final : public Exchange {
 public:
  ~NcclExchange() override {
    if (const nccl::Comm ranks = ranks_.exchange(nullptr); ranks != nullptr) api_->comm_destroy(ranks);
  }

  Status open(Device& device, comm::Communicator& communicator) {
    int count = 0;
    HALO_RETURN_IF_ERROR(multiprocessors_of_collectives(&count));
    if (count > 0) {
      for (const char* variable : {"NCCL_MAX_CTAS", "NCCL_MAX_P2P_NCHANNELS"}) setenv(variable, std::to_string(count).c_str(), 0);
      left_multiprocessors() = count;
    }
    HALO_RETURN_IF_ERROR(nccl::open_library(&api_));
    nccl::UniqueId id{};
    if (communicator.rank() == 0) HALO_RETURN_IF_ERROR(check(api_->get_unique_id(&id), "ncclGetUniqueId"));
    std::vector<std::string> all;
    HALO_RETURN_IF_ERROR(communicator.gather("the meeting of NCCL", std::string(id.bytes, sizeof id.bytes), 0, &all));
    all[0].copy(id.bytes, sizeof id.bytes);
    HALO_RETURN_IF_ERROR(device.prepare());
    nccl::Comm ranks = nullptr;
    HALO_RETURN_IF_ERROR(check(api_->comm_init_rank(&ranks, communicator.world(), id, communicator.rank()), "ncclCommInitRank"));
    ranks_ = ranks;
    return {};
  }

  Status run(const std::vector<PeerTransfer>& transfers, cudaStream_t stream) override {
    HALO_RETURN_IF_ERROR(check(api_->group_start(), "ncclGroupStart"));
    Status status;
    for (const PeerTransfer& t : transfers) {
      if (t.out_bytes > 0 && status.ok()) {
        status = check(api_->send(t.out, static_cast<size_t>(t.out_bytes), nccl::kInt8, t.peer, ranks_, stream), "ncclSend");
      }
      if (t.in_bytes > 0 && status.ok()) {
        status = check(api_->recv(t.in, static_cast<size_t>(t.in_bytes), nccl::kInt8, t.peer, ranks_, stream), "ncclRecv");
      }
    }
    const Status ended = check(api_->group_end(), "ncclGroupEnd");
    return status.ok() ? ended : status;
  }

  std::string problem() override {
    int code = 0;
    const nccl::Comm ranks = ranks_;
    const bool is_known = ranks != nullptr && api_->comm_get_async_error(ranks, &code) == nccl::kSuccess;
    return is_known && code != nccl::kSuccess && code != nccl::kInProgress ? std::string("NCCL reports: ") + api_->get_error_string(code) : "";
  }

  void abort() override {
    if (const nccl::Comm ranks = ranks_.exchange(nullptr); ranks != nullptr) api_->comm_abort(ranks);
  }

 private:
  Status check(int code, const char* function) const {
    HALO_REQUIRE(code == nccl::kSuccess || code == nccl::kInProgress, function << " of NCCL to succeed", api_->get_error_string(code),
                 "Set NCCL_DEBUG=INFO and see its messages.");
    return {};
  }

  const nccl::Api* api_ = nullptr;
  std::atomic<nccl::Comm> ranks_ = nullptr;
};

}  // namespace

Status nccl_exchange(Device& device, comm::Communicator& communicator, std::unique_ptr<Exchange>* made) {
  auto exchange = std::make_unique<NcclExchange>();
  HALO_RETURN_IF_ERROR(exchange->open(device, communicator));
  *made = std::move(exchange);
  return {};
}

}  // namespace halo::cuda
