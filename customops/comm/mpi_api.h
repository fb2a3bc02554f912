// The part of MPI that is used, by the binary interface of Open MPI 4 and 5: the library is opened at first use, and its header is not needed.
#pragma once

namespace halo::comm::mpi {

struct ompi_communicator_t;
struct ompi_datatype_t;
struct ompi_request_t;
struct ompi_info_t;
using Comm = ompi_communicator_t*;
using Datatype = ompi_datatype_t*;
using Request = ompi_request_t*;

constexpr int kSuccess = 0, kAnySource = -1, kThreadFunneled = 1, kCommTypeShared = 0, kUndefinedIndex = -32766;

struct Status {
  int source, tag, error, cancelled;
  unsigned long long bytes;  // size_t
};

struct Api {
  int (*init_thread)(int*, char***, int, int*);
  int (*initialized)(int*);
  int (*finalized)(int*);
  int (*finalize)();
  int (*comm_rank)(Comm, int*);
  int (*comm_size)(Comm, int*);
  int (*comm_split_type)(Comm, int, int, ompi_info_t*, Comm*);
  int (*comm_free)(Comm*);
  int (*isend)(const void*, int, Datatype, int, int, Comm, Request*);
  int (*irecv)(void*, int, Datatype, int, int, Comm, Request*);
  int (*test)(Request*, int*, Status*);
  int (*iprobe)(int, int, Comm, int*, Status*);
  int (*recv)(void*, int, Datatype, int, int, Comm, Status*);
  int (*cancel)(Request*);
  int (*request_free)(Request*);
  int (*error_string)(int, char*, int*);
  int (*comm_set_errhandler)(Comm, void*);
  // Objects of the library, whose addresses are MPI_COMM_WORLD, MPI_BYTE, MPI_INFO_NULL and MPI_ERRORS_RETURN.
  Comm world;
  Datatype byte;
  ompi_info_t* info_null;
  void* errors_return;
};

}  // namespace halo::comm::mpi
