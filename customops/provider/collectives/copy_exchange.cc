// Each rank has a box in the memory of every other, of a few slots, each with two words: `full` in the box's memory, `free` in the sender's. Whoever waits for
// a word takes it back to 0, so that the same waits and writes can be recorded and replayed any number of times. A sender's stream waits until the slot is
// free, copies a piece there and writes `full`; the receiver's waits for that, copies the piece out and writes `free`. Copies run on copy engines and words are
// written and waited for by the stream itself: no multiprocessor is held, least of all by one that waits.
#include <cuda.h>

#include <algorithm>

#include "provider/collectives/event.h"
#include "provider/collectives/exchange.h"
#include "provider/collectives/peer_memory.h"
#include "provider/driver.h"

namespace halo::cuda {

namespace {

constexpr int64_t kSlotBytes = int64_t{8} << 20, kWordBytes = 64;
constexpr uint32_t kSlots = 4;

/// What stands in a rank's memory for each of the others: a box, the words `full` of its slots, and the words `free` of this rank's slots in the other's box.
struct Layout {
  int world;

  int64_t bytes() const { return (world - 1) * kSlots * (kSlotBytes + 2 * kWordBytes); }
  static int place(int owner, int other) { return other - (other > owner ? 1 : 0); }
  static int64_t slot(int owner, int other, uint32_t number) { return (place(owner, other) * int64_t{kSlots} + number % kSlots) * kSlotBytes; }
  int64_t words() const { return (world - 1) * kSlots * kSlotBytes; }
  int64_t full(int owner, int other, uint32_t number) const { return words() + (place(owner, other) * int64_t{kSlots} + number % kSlots) * 2 * kWordBytes; }
  int64_t free(int owner, int other, uint32_t number) const { return full(owner, other, number) + kWordBytes; }
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
    for (int rank = 0; rank < layout_.world; ++rank) {
      for (uint32_t slot = 0; rank != rank_ && slot < kSlots; ++slot) HALO_RETURN_IF_ERROR(write(send_stream_, *own_, layout_.free(rank_, rank, slot), 1));
    }
    HALO_CUDA_RETURN_IF_ERROR(cudaStreamSynchronize(send_stream_));
    std::vector<std::string> handles;
    HALO_RETURN_IF_ERROR(communicator_.gather("the memory that ranks copy into", own_ == nullptr ? "" : own_->handle(), 0, &handles));
    for (int rank = 0; rank < layout_.world; ++rank) {
      if (rank != rank_) HALO_RETURN_IF_ERROR(PeerMemory::open(handles[static_cast<size_t>(rank)], &peer(rank).memory));
    }
    return {};
  }

  /// Pieces of all transfers in turns, and of each turn what is sent first: whoever waits for a piece waits for what was issued before, on whatever rank.
  /// Streams say so to each other too: a recording may be replayed in any order that they allow, and what a turn sends must not come behind what waits for its
  /// answer.
  Status run(const std::vector<PeerTransfer>& transfers, cudaStream_t stream) override {
    int64_t longest = 0;
    for (const PeerTransfer& t : transfers) longest = std::max({longest, t.out_bytes, t.in_bytes});
    if (longest == 0) return {};
    HALO_RETURN_IF_ERROR(follow(send_stream_, stream, forked_));
    uint32_t turn = 0;
    for (int64_t begin = 0; begin < longest; begin += kSlotBytes, ++turn) {
      Event &sent = sent_[turn % kSlots], &received = received_[turn % kSlots];
      if (turn >= kSlots) HALO_CUDA_RETURN_IF_ERROR(cudaStreamWaitEvent(send_stream_, received.get(), 0));  // of the turn that had these slots
      for (const PeerTransfer& t : transfers) {
        const int64_t bytes = std::min(t.out_bytes - begin, kSlotBytes);
        if (bytes > 0) HALO_RETURN_IF_ERROR(send(t.peer, static_cast<const char*>(t.out) + begin, bytes));
      }
      HALO_RETURN_IF_ERROR(follow(stream, send_stream_, sent));
      for (const PeerTransfer& t : transfers) {
        const int64_t bytes = std::min(t.in_bytes - begin, kSlotBytes);
        if (bytes > 0) HALO_RETURN_IF_ERROR(receive(t.peer, static_cast<char*>(t.in) + begin, bytes, stream));
      }
      HALO_RETURN_IF_ERROR(received.record(stream));
    }
    return {};
  }

  bool is_recordable() const override { return true; }

  /// Fills the words that this rank waits for with a number that is beyond what is waited for.
  void abort() override {
    if (own_ == nullptr) return;
    cudaStream_t stream = nullptr;
    static_cast<void>(cudaSetDevice(device_.ordinal()));
    if (cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking) != cudaSuccess) return;
    static_cast<void>(cudaMemsetAsync(own_->data() + layout_.words(), 1, static_cast<size_t>(layout_.bytes() - layout_.words()), stream));
    static_cast<void>(cudaStreamSynchronize(stream));
    static_cast<void>(cudaStreamDestroy(stream));
  }

 private:
  struct Peer {
    std::unique_ptr<PeerMemory> memory;  // this rank's box and words lie there
    uint32_t sent = 0, received = 0;     // pieces, of which both ends have the same number; they go round
  };

  Peer& peer(int rank) { return peers_[static_cast<size_t>(rank)]; }

  /// What comes on `stream` comes behind what is on `first`.
  static Status follow(cudaStream_t stream, cudaStream_t first, Event& event) {
    HALO_RETURN_IF_ERROR(event.record(first));
    return HALO_CUDA_STATUS(cudaStreamWaitEvent(stream, event.get(), 0));
  }

  Status send(int rank, const char* data, int64_t bytes) {
    Peer& to = peer(rank);
    const uint32_t number = to.sent++;
    HALO_RETURN_IF_ERROR(take(send_stream_, layout_.free(rank_, rank, number)));
    char* slot = to.memory->data() + Layout::slot(rank, rank_, number);
    HALO_CUDA_RETURN_IF_ERROR(cudaMemcpyAsync(slot, data, static_cast<size_t>(bytes), cudaMemcpyDeviceToDevice, send_stream_));
    return write(send_stream_, *to.memory, layout_.full(rank, rank_, number), 1);
  }

  Status receive(int rank, char* data, int64_t bytes, cudaStream_t stream) {
    Peer& from = peer(rank);
    const uint32_t number = from.received++;
    HALO_RETURN_IF_ERROR(take(stream, layout_.full(rank_, rank, number)));
    const char* slot = own_->data() + Layout::slot(rank_, rank, number);
    HALO_CUDA_RETURN_IF_ERROR(cudaMemcpyAsync(data, slot, static_cast<size_t>(bytes), cudaMemcpyDeviceToDevice, stream));
    return write(stream, *from.memory, layout_.free(rank, rank_, number), 1);
  }

  /// The stream goes on when the word at `offset` of this rank's memory is 1, and takes it back to 0. The other writes it again only when it has heard of that.
  Status take(cudaStream_t stream, int64_t offset) const {
    HALO_RETURN_IF_ERROR(check(driver_->stream_wait(stream, reinterpret_cast<CUdeviceptr>(own_->data() + offset), 1, CU_STREAM_WAIT_VALUE_GEQ), "waits for"));
    return write(stream, *own_, offset, 0);
  }

  /// Behind what the stream did before, for whoever reads the word.
  Status write(cudaStream_t stream, const PeerMemory& to, int64_t offset, uint32_t value) const {
    return check(driver_->stream_write(stream, reinterpret_cast<CUdeviceptr>(to.data() + offset), value, 0), "writes");
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
  Event forked_, sent_[kSlots], received_[kSlots];
};

}  // namespace

Status copy_exchange(Device& device, comm::Communicator& communicator, std::unique_ptr<Exchange>* made) {
  auto exchange = std::make_unique<CopyExchange>(device, communicator);
  HALO_RETURN_IF_ERROR(exchange->open());
  *made = std::move(exchange);
  return {};
}

}  // namespace halo::cuda
