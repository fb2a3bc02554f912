// The functions of libcuda.so.1 that the runtime library has no counterpart of; opened at first use, so that a machine without a driver loads this library.
#pragma once

#include <cuda.h>

#include <string>

#include "common/status.h"

namespace halo::cuda {

struct Driver {
  decltype(&cuMemGetAllocationGranularity) mem_granularity = nullptr;
  decltype(&cuMemAddressReserve) mem_reserve = nullptr;
  decltype(&cuMemAddressFree) mem_free_addresses = nullptr;
  decltype(&cuMemCreate) mem_create = nullptr;
  decltype(&cuMemRelease) mem_release = nullptr;
  decltype(&cuMemMap) mem_map = nullptr;
  decltype(&cuMemUnmap) mem_unmap = nullptr;
  decltype(&cuMemSetAccess) mem_access = nullptr;
  decltype(&cuStreamWaitValue32) stream_wait = nullptr;  // null before 11.7, as the next
  decltype(&cuStreamWriteValue32) stream_write = nullptr;
  std::string path;  // the file

  static Status open(const Driver** driver);
};

/// The file that a library was loaded from, by one of its functions.
std::string library_of(const void* function);

}  // namespace halo::cuda
