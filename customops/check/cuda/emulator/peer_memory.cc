// Memory of the emulated GPU that processes share: a file without a name, which others open by the process that has it.
#include "provider/collectives/peer_memory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

namespace halo::cuda {

namespace {

Status map(int file, int64_t bytes, char** data) {
  void* mapped = mmap(nullptr, static_cast<size_t>(bytes), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  HALO_REQUIRE(mapped != MAP_FAILED, bytes << " bytes of shared memory", std::strerror(errno), "Free some memory.");
  *data = static_cast<char*>(mapped);
  return {};
}

}  // namespace

Status PeerMemory::allocate(int64_t bytes, std::unique_ptr<PeerMemory>* made) {
  std::unique_ptr<PeerMemory> memory(new PeerMemory);
  const int file = memfd_create("halo-emulated", MFD_CLOEXEC);  // open until the process ends: its number names it
  HALO_REQUIRE(file >= 0 && ftruncate(file, bytes) == 0, bytes << " bytes of shared memory", std::strerror(errno), "Free some memory.");
  HALO_RETURN_IF_ERROR(map(file, bytes, &memory->data_));
  memory->bytes_ = bytes;
  memory->is_own_ = true;
  memory->handle_ = std::to_string(bytes) + " /proc/" + std::to_string(getpid()) + "/fd/" + std::to_string(file);
  *made = std::move(memory);
  return {};
}

Status PeerMemory::open(const std::string& handle, std::unique_ptr<PeerMemory>* made) {
  std::unique_ptr<PeerMemory> memory(new PeerMemory);
  memory->bytes_ = std::atoll(handle.c_str());
  memory->handle_ = handle;
  const int file = ::open(handle.c_str() + handle.find('/'), O_RDWR | O_CLOEXEC);
  HALO_REQUIRE(file >= 0, "the memory of another process of this machine", std::strerror(errno), "Start all ranks as one user.");
  const Status status = map(file, memory->bytes_, &memory->data_);
  close(file);
  HALO_RETURN_IF_ERROR(status);
  *made = std::move(memory);
  return {};
}

PeerMemory::~PeerMemory() {
  if (data_ != nullptr) munmap(data_, static_cast<size_t>(bytes_));
}

}  // namespace halo::cuda
