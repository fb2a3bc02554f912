// Loads and stores of what is not wanted again soon: it is the first to leave the L2 cache, which then holds more of what is. [PTX ISA, createpolicy, ld, st]
#pragma once

#include "provider/kernels/device.cuh"

namespace halo::cuda {

#if !defined(HALO_CUDA_EMULATED)
__device__ inline uint64_t first_to_leave() {
  uint64_t policy;
  asm("createpolicy.fractional.L2::evict_first.b64 %0, 1.0;" : "=l"(policy));
  return policy;
}
#endif

/// 16 bytes, aligned as such, that no kernel writes while this one runs.
__device__ inline Pack<uint32_t, 4> load_streaming(const void* from) {
#ifdef HALO_CUDA_EMULATED
  return *static_cast<const Pack<uint32_t, 4>*>(from);
#else
  Pack<uint32_t, 4> words;
  asm volatile("ld.global.nc.L1::no_allocate.L2::cache_hint.v4.b32 {%0, %1, %2, %3}, [%4], %5;"
               : "=r"(words.values[0]), "=r"(words.values[1]), "=r"(words.values[2]), "=r"(words.values[3])
               : "l"(from), "l"(first_to_leave()));
  return words;
#endif
}

/// 8 bytes, aligned as such.
__device__ inline void store_streaming(void* to, const Pack<uint32_t, 2>& words) {
#ifdef HALO_CUDA_EMULATED
  *static_cast<Pack<uint32_t, 2>*>(to) = words;
#else
  asm volatile("st.global.L2::cache_hint.v2.b32 [%0], {%1, %2}, %3;" ::"l"(to), "r"(words.values[0]), "r"(words.values[1]), "l"(first_to_leave()) : "memory");
#endif
}

}  // namespace halo::cuda
