// A driver whose device memory is the host's: addresses nobody may touch until they are mapped.
#include "provider/driver.h"

#include <cuda_runtime_api.h>
#include <sys/mman.h>

#include <atomic>
#include <chrono>
#include <thread>

namespace halo::cuda {

namespace {

void* at(CUdeviceptr address) { return reinterpret_cast<void*>(address); }

/// At once, or at each replay of what is recorded.
template <class F>
CUresult carry_out(F&& work) {
  static_cast<void>(emulator::carry_out(work));
  return CUDA_SUCCESS;
}

}  // namespace

Status Driver::open(const Driver** driver) {
  static const Driver emulated{
      .mem_granularity = [](size_t* bytes, const CUmemAllocationProp*, CUmemAllocationGranularity_flags) { return *bytes = size_t{2} << 20, CUDA_SUCCESS; },
      .mem_reserve =
          [](CUdeviceptr* address, size_t bytes, size_t, CUdeviceptr, unsigned long long) {
            void* made = mmap(nullptr, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
            *address = reinterpret_cast<CUdeviceptr>(made);
            return made == MAP_FAILED ? CUDA_ERROR_OUT_OF_MEMORY : CUDA_SUCCESS;
          },
      .mem_free_addresses = [](CUdeviceptr address, size_t bytes) { return munmap(at(address), bytes), CUDA_SUCCESS; },
      .mem_create =
          [](CUmemGenericAllocationHandle* handle, size_t bytes, const CUmemAllocationProp*, unsigned long long) {
            if (emulated_bytes_taken + bytes > emulated_bytes()) return CUDA_ERROR_OUT_OF_MEMORY;
            emulated_bytes_taken += bytes;
            return *handle = bytes, CUDA_SUCCESS;
          },
      .mem_release = [](CUmemGenericAllocationHandle handle) { return emulated_bytes_taken -= handle, CUDA_SUCCESS; },
      .mem_map = [](CUdeviceptr, size_t, size_t, CUmemGenericAllocationHandle, unsigned long long) { return CUDA_SUCCESS; },
      .mem_unmap = [](CUdeviceptr address, size_t bytes) { return mprotect(at(address), bytes, PROT_NONE), CUDA_SUCCESS; },
      .mem_access = [](CUdeviceptr address, size_t bytes, const CUmemAccessDesc*,
                       size_t) { return mprotect(at(address), bytes, PROT_READ | PROT_WRITE), CUDA_SUCCESS; },
      .stream_wait =
          [](CUstream, CUdeviceptr address, cuuint32_t value, unsigned) {
            return carry_out([=] {
              const std::atomic_ref<uint32_t> word(*static_cast<uint32_t*>(at(address)));
              while (static_cast<int32_t>(word.load() - value) < 0) std::this_thread::sleep_for(std::chrono::microseconds(20));
            });
          },
      .stream_write = [](CUstream, CUdeviceptr address, cuuint32_t value,
                         unsigned) { return carry_out([=] { std::atomic_ref<uint32_t>(*static_cast<uint32_t*>(at(address))).store(value); }); },
      .path = "emulated",
  };
  *driver = &emulated;
  return {};
}

std::string library_of(const void*) { return "emulated"; }

}  // namespace halo::cuda
