#include "provider/mapped_memory.h"

#include <cuda.h>

#include <vector>

#include "provider/driver.h"

namespace halo::cuda {

struct MappedMemory::State {
  struct Piece {
    int64_t offset, bytes;
    CUmemGenericAllocationHandle handle;
  };
  const Driver* driver = nullptr;
  CUmemAllocationProp properties{};
  CUmemAccessDesc access{};
  int64_t granularity = 0, bytes = 0;
  CUdeviceptr base = 0;
  std::vector<Piece> pieces;

  void unmap(const Piece& piece) const {
    driver->mem_unmap(base + static_cast<CUdeviceptr>(piece.offset), static_cast<size_t>(piece.bytes));
    driver->mem_release(piece.handle);
  }
};

Status MappedMemory::reserve(int ordinal, int64_t bytes, std::unique_ptr<MappedMemory>* memory) {
  auto state = std::make_unique<State>();
  HALO_RETURN_IF_ERROR(Driver::open(&state->driver));
  state->properties.type = CU_MEM_ALLOCATION_TYPE_PINNED;
  state->properties.location = {CU_MEM_LOCATION_TYPE_DEVICE, {ordinal}};
  state->access.location = state->properties.location;
  state->access.flags = CU_MEM_ACCESS_FLAGS_PROT_READWRITE;
  size_t granularity = 0;
  CUresult result = state->driver->mem_granularity(&granularity, &state->properties, CU_MEM_ALLOC_GRANULARITY_RECOMMENDED);
  HALO_REQUIRE(result == CUDA_SUCCESS, "a GPU whose memory can be mapped piece by piece", "driver error " << result,
               "Virtual GPUs without it cannot be used; run with --device cpu.");
  state->granularity = static_cast<int64_t>(granularity);
  state->bytes = (bytes + state->granularity - 1) / state->granularity * state->granularity;
  result = state->driver->mem_reserve(&state->base, static_cast<size_t>(state->bytes), 0, 0, 0);
  HALO_REQUIRE(result == CUDA_SUCCESS, "addresses for " << state->bytes << " bytes of GPU memory", "driver error " << result,
               "Check the limit of the address space (ulimit -v).");
  *memory = std::unique_ptr<MappedMemory>(new MappedMemory(std::move(state)));
  return {};
}

MappedMemory::MappedMemory(std::unique_ptr<State> state) : state_(std::move(state)) {}

MappedMemory::~MappedMemory() {
  for (const State::Piece& piece : state_->pieces) state_->unmap(piece);
  state_->driver->mem_free_addresses(state_->base, static_cast<size_t>(state_->bytes));
}

char* MappedMemory::base() const { return reinterpret_cast<char*>(state_->base); }

int64_t MappedMemory::reserved_bytes() const { return state_->bytes; }

int64_t MappedMemory::granularity() const { return state_->granularity; }

bool MappedMemory::grow(int64_t mapped, int64_t bytes) {
  State::Piece piece{mapped, bytes, {}};
  const auto size = static_cast<size_t>(bytes);
  if (state_->driver->mem_create(&piece.handle, size, &state_->properties, 0) != CUDA_SUCCESS) return false;
  const CUdeviceptr at = state_->base + static_cast<CUdeviceptr>(mapped);
  if (state_->driver->mem_map(at, size, 0, piece.handle, 0) != CUDA_SUCCESS) {
    state_->driver->mem_release(piece.handle);
    return false;
  }
  if (state_->driver->mem_access(at, size, &state_->access, 1) != CUDA_SUCCESS) {
    state_->unmap(piece);
    return false;
  }
  state_->pieces.push_back(piece);
  return true;
}

int64_t MappedMemory::shrink(int64_t wanted) {
  while (!state_->pieces.empty() && state_->pieces.back().offset >= wanted) {
    state_->unmap(state_->pieces.back());
    state_->pieces.pop_back();
  }
  return state_->pieces.empty() ? 0 : state_->pieces.back().offset + state_->pieces.back().bytes;
}

}  // namespace halo::cuda
