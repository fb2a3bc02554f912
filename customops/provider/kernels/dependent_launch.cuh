// Programmatic dependent launch, for chains of kernels that take microseconds: a kernel's blocks start while the one before still runs, and wait for its
// results themselves. [CUDA C++ Programming Guide, Programmatic Dependent Launch and Synchronization]
//
// Every kernel that launch_dependent starts calls wait_for_inputs in all its threads, before it reads or writes what others write or read: then what it waited
// for is complete when it is, and the kernel behind it may trust that. Until then it may prefetch, which is right whatever is written later.
#pragma once

#include "provider/kernels/device.cuh"

namespace halo::cuda {

/// Lets the kernel behind this one start once all blocks of this one have come here, or ended.
__device__ inline void let_next_start() {
#if !defined(HALO_CUDA_EMULATED) && __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}

/// Returns when the kernel before this one has ended and its writes are seen.
__device__ inline void wait_for_inputs() {
#if !defined(HALO_CUDA_EMULATED) && __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

/// Asks for the 16-byte words in which [from, from + bytes) lies to be in the L2 cache soon.
__device__ inline void prefetch(const void* from, int64_t bytes) {
#if !defined(HALO_CUDA_EMULATED) && __CUDA_ARCH__ >= 900
  const auto start = reinterpret_cast<uintptr_t>(from) & ~uintptr_t{15};
  const auto length = static_cast<uint32_t>(((reinterpret_cast<uintptr_t>(from) + static_cast<uintptr_t>(bytes) + 15) & ~uintptr_t{15}) - start);
  asm volatile("cp.async.bulk.prefetch.L2.global [%0], %1;" ::"l"(start), "r"(length) : "memory");
#else
  static_cast<void>(from), static_cast<void>(bytes);
#endif
}

/// Whether the device of the calling thread has programmatic dependent launch: from Hopper on.
inline bool has_dependent_launch() {
  int device = 0, major = 0;
  cudaGetDevice(&device);
  cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device);
  return major >= 9;
}

/// As launch, for a kernel that calls wait_for_inputs. On GPUs without dependent launch, it starts when the one before has ended.
template <class... P, class... A>
Status launch_dependent(void (*kernel)(P...), dim3 grid, dim3 block, size_t shared_bytes, cudaStream_t stream, A&&... arguments) {
  return start_kernel(has_dependent_launch(), kernel, grid, block, shared_bytes, stream, static_cast<A&&>(arguments)...);
}

}  // namespace halo::cuda
