#include "comm/mpi_library.h"

#include <dlfcn.h>

#include <string>

namespace halo::comm::mpi {

namespace {

struct Library {
  Api api{};
  ::halo::Status status;

  Library() { status = open(); }

  ::halo::Status open() {
    constexpr const char* kAdvice = "Install Open MPI 4 or 5 (Debian: apt-get install openmpi-bin), or run one rank.";
    void* library = nullptr;
    for (const char* file : {"libmpi.so.40", "libmpi.so"}) {
      if (library == nullptr) library = dlopen(file, RTLD_NOW | RTLD_GLOBAL);  // its components look for its symbols
    }
    HALO_REQUIRE(library != nullptr, "Open MPI, libmpi.so.40", "none", kAdvice);
    std::string missing;
    const auto find = [&](const char* name, auto* found) {
      *found = reinterpret_cast<std::remove_pointer_t<decltype(found)>>(dlsym(library, name));
      if (*found == nullptr && missing.empty()) missing = name;
    };
    find("MPI_Init_thread", &api.init_thread);
    find("MPI_Initialized", &api.initialized);
    find("MPI_Finalized", &api.finalized);
    find("MPI_Finalize", &api.finalize);
    find("MPI_Comm_rank", &api.comm_rank);
    find("MPI_Comm_size", &api.comm_size);
    find("MPI_Comm_split_type", &api.comm_split_type);
    find("MPI_Comm_free", &api.comm_free);
    find("MPI_Isend", &api.isend);
    find("MPI_Irecv", &api.irecv);
    find("MPI_Test", &api.test);
    find("MPI_Iprobe", &api.iprobe);
    find("MPI_Recv", &api.recv);
    find("MPI_Cancel", &api.cancel);
    find("MPI_Request_free", &api.request_free);
    find("MPI_Error_string", &api.error_string);
    find("MPI_Comm_set_errhandler", &api.comm_set_errhandler);
    find("ompi_mpi_comm_world", &api.world);
    find("ompi_mpi_byte", &api.byte);
    find("ompi_mpi_info_null", &api.info_null);
    find("ompi_mpi_errors_return", &api.errors_return);
    HALO_REQUIRE(missing.empty(), "Open MPI with " << missing, "a libmpi without it", kAdvice);
    return {};
  }
};

}  // namespace

::halo::Status open_library(const Api** api) {
  static const Library library;
  *api = &library.api;
  return library.status;
}

}  // namespace halo::comm::mpi
