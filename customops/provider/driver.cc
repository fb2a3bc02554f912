#include "provider/driver.h"

#include <dlfcn.h>

namespace halo::cuda {

namespace {

constexpr const char* kLibrary = "libcuda.so.1";

template <class F>
bool find(void* library, const char* name, F& function) {
  function = reinterpret_cast<F>(dlsym(library, name));
  return function != nullptr;
}

Status load(Driver& driver) {
  void* library = dlopen(kLibrary, RTLD_NOW | RTLD_LOCAL);
  HALO_REQUIRE(library != nullptr, "NVIDIA's driver library " << kLibrary, dlerror(), "Install the driver, or add its folder to LD_LIBRARY_PATH.");
  const bool is_complete = find(library, "cuMemGetAllocationGranularity", driver.mem_granularity) && find(library, "cuMemAddressReserve", driver.mem_reserve) &&
                           find(library, "cuMemAddressFree", driver.mem_free_addresses) && find(library, "cuMemCreate", driver.mem_create) &&
                           find(library, "cuMemRelease", driver.mem_release) && find(library, "cuMemMap", driver.mem_map) &&
                           find(library, "cuMemUnmap", driver.mem_unmap) && find(library, "cuMemSetAccess", driver.mem_access);
  HALO_REQUIRE(is_complete, "a driver that maps memory (10.2 or later)", dlerror(), "Install a newer driver.");
  find(library, "cuStreamWaitValue32_v2", driver.stream_wait);
  find(library, "cuStreamWriteValue32_v2", driver.stream_write);
  driver.path = library_of(reinterpret_cast<const void*>(driver.mem_create));
  return {};
}

}  // namespace

Status Driver::open(const Driver** driver) {
  static Driver opened;
  static const Status status = load(opened);
  *driver = &opened;
  return status;
}

std::string library_of(const void* function) {
  Dl_info info{};
  return dladdr(function, &info) != 0 && info.dli_fname != nullptr ? info.dli_fname : "";
}

}  // namespace halo::cuda
