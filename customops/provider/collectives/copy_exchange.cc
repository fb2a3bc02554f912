// Each rank has a box in the memory of every other, of a few slots. A message is copied there piece by piece, and the word beside the box that counts pieces is
// written behind each; the receiver's stream waits for that word, copies the piece out, and counts it in a word of the sender's, which waits before it takes a
// slot again. Copies run on copy engines and words are written and waited for by the stream itself: no multiprocessor is held, least of all by one that waits.
#include <cuda.h>

#include <algorithm>
#include <atomic>

#include "provider/collectives/event.h"
#include "provider/collectives/exchange.h"
#include "provider/collectives/peer_memory.h"
#include "provider/driver.h"

namespace halo::cuda {

namespace {

constexpr int64_t kSlotBytes = int64_t{8} << 20, kWordBytes = 64;
constexpr uint32_t kSlots = 4;

/// What stands in a rank's memory for each of the others: a box, and the words that count what came into it and what was taken out of the other's.
struct Layout {
  int world;

  int64_t bytes() const { return (world - 1) * (kSlots * kSlotBytes + 2 * kWordBytes); }
  static int place(int owner, int other) { return other - (other > owner ? 1 : 0); }
  static int64_t slot(int owner, int other, uint32_t number) { return (place(owner, other) * int64_t{kSlots} + number % kSlots) * kSlotBytes; }
  int64_t arrived(int owner, int other) const { return (world - 1) * kSlots * kSlotBytes + place(owner, other) * 2 * kWordBytes; }
  int64_t taken(int owner, int other) const { return arrived(owner, other) + kWordBytes; }
};

class CopyExchange final : public Exchange {
 public:
  CopyExchange(Device& device, comm::Communicator& communicator)
      : device_(device),
        communicator_(communicator),
        rank_(communicator.rank()),
        layout_{communicator.world()},
        peers_(static_cast<size_t>(communicator.world())) {}

  /// No rank frees memory that another still maps.
  ~CopyExchange() override {
    if (send_stream_ != nullptr) {
      cudaStreamSynchronize(send_stream_);
      cudaStreamDestroy(send_stream_);
    }
    peers_.clear();
    std::vector<std::string> all;
    if (own_ != nullptr && communicator_.problem().empty()) static_cast<void>(communicator_.gather("the end of copies", "", 0, &all));
  }

  Status open() {
    HALO_REQUIRE(communicator_.ranks_per_node() == communicator_.world(), "GPUs of one machine, which copy into each other's memory",
                 communicator_.world() << " ranks, " << communicator_.ranks_per_node() << " a machine", "Let NCCL carry (--rank-carrier nccl).");
    HALO_RETURN_IF_ERROR(Driver::open(&driver_));
    HALO_REQUIRE(driver_->stream_wait != nullptr && driver_->stream_write != nullptr, "a driver whose streams wait for words of memory (11.7 or later)",
                 "an older one", "Install a newer driver, or let NCCL carry (--rank-carrier nccl).");
    HALO_RETURN_IF_ERROR(device_.prepare());
    HALO_CUDA_RETURN_IF_ERROR(cudaStreamCreateWithFlags(&send_stream_, cudaStreamNonBlocking));
    if (layout_.world > 1) HALO_RETURN_IF_ERROR(PeerMemory::allocate(layout_.bytes(), &own_));
    std::vector<std::string> handles;
    HALO_RETURN_IF_ERROR(communicator_.gather("the memory that ranks copy into", own_ == nullptr ? "" : own_->handle(), 0, &handles));
    for (int rank = 0; rank < layout_.world; ++rank) {
      if (rank != rank_) HALO_RETURN_IF_ERROR(PeerMemory::open(handles[static_cast<size_t>(rank)], &peer(rank).memory));
    }
    return {};
  }

  /// Pieces of all transfers in turns, and of each turn what is sent first: whoever waits for a piece waits for what was issued before, on whatever rank.
  Status run(const std::vector<Transfer>& transfers, cudaStream_t stream) override {
    int64_t longest = 0;
    for (const Transfer& t : transfers) longest = std::max({longest, t.out_bytes, t.in_bytes});
    if (longest == 0) return {};
    HALO_RETURN_IF_ERROR(forked_.record(stream));
    HALO_CUDA_RETURN_IF_ERROR(cudaStreamWaitEvent(send_stream_, forked_.get(), 0));
    for (int64_t begin = 0; begin < longest; begin += kSlotBytes) {
      for (const Transfer& t : transfers) {
        const int64_t bytes = std::min(t.out_bytes - begin, kSlotBytes);
        if (bytes > 0) HALO_RETURN_IF_ERROR(send(t.peer, static_cast<const char*>(t.out) + begin, bytes));
      }
      for (const Transfer& t : transfers) {
        const int64_t bytes = std::min(t.in_bytes - begin, kSlotBytes);
        if (bytes > 0) HALO_RETURN_IF_ERROR(receive(t.peer, static_cast<char*>(t.in) + begin, bytes, stream));
      }
    }
    HALO_RETURN_IF_ERROR(joined_.record(send_stream_));
    return HALO_CUDA_STATUS(cudaStreamWaitEvent(stream, joined_.get(), 0));
  }

  /// Fills the words that this rank waits for with a number that is beyond all of them.
  void abort() override {
    if (own_ == nullptr) return;
    uint32_t most = 0;
    for (const Peer& p : peers_) most = std::max({most, p.sent.load(), p.received.load()});
    const auto fill = static_cast<int>(((most >> 24) + 0x40) & 0xFF);
    cudaStream_t stream = nullptr;
    static_cast<void>(cudaSetDevice(device_.ordinal()));
    if (cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking) != cudaSuccess) return;
    const int64_t words = layout_.arrived(rank_, rank_ == 0 ? 1 : 0);
    static_cast<void>(cudaMemsetAsync(own_->data() + words, fill, static_cast<size_t>(layout_.bytes() - words), stream));
    static_cast<void>(cudaStreamSynchronize(stream));
    static_cast<void>(cudaStreamDestroy(stream));
  }

 private:
  struct Peer {
    std::unique_ptr<PeerMemory> memory;            // this rank's box and words lie there
    std::atomic<uint32_t> sent = 0, received = 0;  // pieces; they go round
  };

  Peer& peer(int rank) { return peers_[static_cast<size_t>(rank)]; }

  Status send(int rank, const char* data, int64_t bytes) {
    Peer& to = peer(rank);
    const uint32_t number = to.sent;
    HALO_RETURN_IF_ERROR(wait(send_stream_, layout_.taken(rank_, rank), number - kSlots + 1));  // at once for the first: numbers go round
    char* slot = to.memory->data() + Layout::slot(rank, rank_, number);
    HALO_CUDA_RETURN_IF_ERROR(cudaMemcpyAsync(slot, data, static_cast<size_t>(bytes), cudaMemcpyDeviceToDevice, send_stream_));
    to.sent = number + 1;
    return write(send_stream_, to, layout_.arrived(rank, rank_), number + 1);
  }

  Status receive(int rank, char* data, int64_t bytes, cudaStream_t stream) {
    Peer& from = peer(rank);
    const uint32_t number = from.received;
    HALO_RETURN_IF_ERROR(wait(stream, layout_.arrived(rank_, rank), number + 1));
    const char* slot = own_->data() + Layout::slot(rank_, rank, number);
    HALO_CUDA_RETURN_IF_ERROR(cudaMemcpyAsync(data, slot, static_cast<size_t>(bytes), cudaMemcpyDeviceToDevice, stream));
    from.received = number + 1;
    return write(stream, from, layout_.taken(rank, rank_), number + 1);
  }

  /// The stream goes on when the word at `offset` of this rank's memory has come to `value`; numbers go round.
  Status wait(cudaStream_t stream, int64_t offset, uint32_t value) const {
    return check(driver_->stream_wait(stream, reinterpret_cast<CUdeviceptr>(own_->data() + offset), value, CU_STREAM_WAIT_VALUE_GEQ), "waits for");
  }

  /// Behind what the stream did before, for whoever reads the word.
  Status write(cudaStream_t stream, const Peer& to, int64_t offset, uint32_t value) const {
    return check(driver_->stream_write(stream, reinterpret_cast<CUdeviceptr>(to.memory->data() + offset), value, 0), "writes");
  }

  static Status check(CUresult result, const char* what) {
    HALO_REQUIRE(result == CUDA_SUCCESS, "a stream that " << what << " a word of memory", "driver error " << result, "Let NCCL carry (--rank-carrier nccl).");
    return {};
  }

  Device& device_;
  comm::Communicator& communicator_;
  const Driver* driver_ = nullptr;
  int rank_;
  Layout layout_;
  std::vector<Peer> peers_;
  std::unique_ptr<PeerMemory> own_;
  cudaStream_t send_stream_ = nullptr;
  Event forked_, joined_;
};

}  // namespace

Status copy_exchange(Device& device, comm::Communicator& communicator, std::unique_ptr<Exchange>* made) {
  auto exchange = std::make_unique<CopyExchange>(device, communicator);
  HALO_RETURN_IF_ERROR(exchange->open());
  *made = std::move(exchange);
  return {};
}

}  // namespace halo::cuda
