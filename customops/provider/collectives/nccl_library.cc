#include "provider/collectives/nccl_library.h"

#include <dlfcn.h>

#include <cstdlib>
#include <string>

namespace halo::cuda::nccl {

namespace {

/// 2.18: send and receive in groups, aborts that do not hang.
constexpr int kLeastVersion = 21800;

struct Library {
  Api api{};
  Status status;

  Library() { status = open(); }

  Status open() {
    constexpr const char* kAdvice = "Install NCCL 2.18 or later for the CUDA of the driver (libnccl2), or let MPI carry collectives.";
    setenv("NCCL_NVLS_ENABLE", "0", 1);  // multicast of switches: sums are ours, and shared machines have it switched off
    void* library = nullptr;
    for (const char* file : {"libnccl.so.2", "/usr/local/cuda/lib64/libnccl.so.2", "/usr/lib/x86_64-linux-gnu/libnccl.so.2"}) {
      if (library == nullptr) library = dlopen(file, RTLD_NOW | RTLD_LOCAL);
    }
    HALO_REQUIRE(library != nullptr, "NCCL, libnccl.so.2", "none", kAdvice);
    std::string missing;
    const auto find = [&](const char* name, auto* found) {
      *found = reinterpret_cast<std::remove_pointer_t<decltype(found)>>(dlsym(library, name));
      if (*found == nullptr && missing.empty()) missing = name;
    };
    find("ncclGetVersion", &api.get_version);
    find("ncclGetUniqueId", &api.get_unique_id);
    find("ncclCommInitRank", &api.comm_init_rank);
    find("ncclCommDestroy", &api.comm_destroy);
    find("ncclCommAbort", &api.comm_abort);
    find("ncclCommGetAsyncError", &api.comm_get_async_error);
    find("ncclGetErrorString", &api.get_error_string);
    find("ncclGroupStart", &api.group_start);
    find("ncclGroupEnd", &api.group_end);
    find("ncclSend", &api.send);
    find("ncclRecv", &api.recv);
    HALO_REQUIRE(missing.empty(), "NCCL with " << missing, "a libnccl without it", kAdvice);
    int version = 0;
    api.get_version(&version);
    HALO_REQUIRE(version >= kLeastVersion, "NCCL 2.18 or later", version, kAdvice);
    return {};
  }
};

}  // namespace

Status open_library(const Api** api) {
  static const Library library;
  *api = &library.api;
  return library.status;
}

}  // namespace halo::cuda::nccl
