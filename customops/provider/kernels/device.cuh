// What kernels share: launching, types by number, division by numbers known at launch, sums over warps and blocks.
#pragma once

#include <cuda_runtime.h>

#include <initializer_list>
#include <limits>
#include <type_traits>

#include "common/dispatch.h"
#include "provider/errors.h"
#include "provider/kernels/tensor.h"

namespace halo::cuda {

/// Starts a kernel; arguments are converted to its parameters. An empty grid starts nothing. `is_dependent`: before the kernel in front of it has ended, for
/// those that wait themselves (dependent_launch.cuh).
template <class... P, class... A>
Status start_kernel(bool is_dependent, void (*kernel)(P...), dim3 grid, dim3 block, size_t shared_bytes, cudaStream_t stream, A&&... arguments) {
  if (grid.x == 0 || grid.y == 0 || grid.z == 0) return {};
  cudaLaunchConfig_t config = {};
  config.gridDim = grid;
  config.blockDim = block;
  config.dynamicSmemBytes = shared_bytes;
  config.stream = stream;
  cudaLaunchAttribute early = {};
  early.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  early.val.programmaticStreamSerializationAllowed = 1;
  config.attrs = &early;
  config.numAttrs = is_dependent ? 1 : 0;
  const cudaError_t error = cudaLaunchKernelEx(&config, kernel, static_cast<P>(arguments)...);
  HALO_REQUIRE(error == cudaSuccess,
               "a kernel that starts with " << grid.x << " x " << grid.y << " x " << grid.z << " blocks of " << block.x << " x " << block.y << " x " << block.z
                                            << " threads and " << shared_bytes << " bytes of shared memory",
               text_of(error), advice_on(error));
  return {};
}

template <class... P, class... A>
Status launch(void (*kernel)(P...), dim3 grid, dim3 block, size_t shared_bytes, cudaStream_t stream, A&&... arguments) {
  return start_kernel(false, kernel, grid, block, shared_bytes, stream, static_cast<A&&>(arguments)...);
}

/// The block's memory whose size was given at launch.
template <class T>
__device__ T* dynamic_shared() {
#ifdef HALO_CUDA_EMULATED
  return reinterpret_cast<T*>(emulator::dynamic_shared_memory());
#else
  extern __shared__ __align__(128) unsigned char halo_dynamic_shared[];
  return reinterpret_cast<T*>(halo_dynamic_shared);
#endif
}

/// x, of which the compiler knows nothing from here on: what follows from it is computed where it is used, and not kept in registers over a loop.
__device__ inline int64_t opaque(int64_t x) {
#ifndef HALO_CUDA_EMULATED
  asm volatile("" : "+l"(x));
#endif
  return x;
}

__device__ inline int opaque(int x) {
#ifndef HALO_CUDA_EMULATED
  asm volatile("" : "+r"(x));
#endif
  return x;
}

inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

/// Blocks along x for `count` elements. A tensor that fits in memory has far fewer than kMostBlocksX 32 of them, the least that a block takes.
inline unsigned grid_for(int64_t count, int64_t per_block) { return static_cast<unsigned>(ceil_div(count, per_block)); }

inline int multiprocessors() {
  int device = 0, count = 0;
  cudaGetDevice(&device);
  cudaDeviceGetAttribute(&count, cudaDevAttrMultiProcessorCount, device);
  return count > 0 ? count : 1;
}

/// Shared memory that one block may have: 227 KiB on Hopper, 99 KiB on GPUs of workstations.
inline int64_t most_shared_bytes() {
  int device = 0, bytes = 0;
  cudaGetDevice(&device);
  cudaDeviceGetAttribute(&bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin, device);
  return bytes;
}

inline bool is_aligned(const void* pointer, int64_t bytes) { return reinterpret_cast<uintptr_t>(pointer) % static_cast<uintptr_t>(bytes) == 0; }

/// N elements that are loaded and stored by one instruction. The last pack of a row has fewer: kernels write, for a pack that begins at column `at`,
/// `count = columns - at < N ? static_cast<int>(columns - at) : N`. The cast loses nothing: the comparison bounds the difference by N from above, and
/// from below a pack begins at most one step of its block behind the end, where the count is negative and no element is touched.
template <class T, int N>
struct alignas(sizeof(T) * N) Pack {
  T values[N];
};

/// Stores two or four words to global memory by one instruction. nvcc 13.0 stores packs that were put together in registers a word at a time, which is the same
/// to memory where a warp's packs lie side by side, and takes the L2 cache as many times longer where they are parts of many rows.
template <int N>
__device__ void store_words(void* to, const Pack<uint32_t, N>& pack) {
  static_assert(N == 2 || N == 4);
#ifdef HALO_CUDA_EMULATED
  *static_cast<Pack<uint32_t, N>*>(to) = pack;
#else
  if constexpr (N == 2) {
    asm volatile("st.global.v2.b32 [%0], {%1, %2};" ::"l"(to), "r"(pack.values[0]), "r"(pack.values[1]) : "memory");
  } else {
    asm volatile("st.global.v4.b32 [%0], {%1, %2, %3, %4};"
                 :
                 : "l"(to), "r"(pack.values[0]), "r"(pack.values[1]), "r"(pack.values[2]), "r"(pack.values[3])
                 : "memory");
  }
#endif
}

/// Two float32 to shared memory, likewise.
__device__ inline void store_pair(float* to, float first, float second) {
#ifdef HALO_CUDA_EMULATED
  to[0] = first;
  to[1] = second;
#else
  asm volatile("st.shared.v2.f32 [%0], {%1, %2};" ::"r"(static_cast<uint32_t>(__cvta_generic_to_shared(to))), "f"(first), "f"(second) : "memory");
#endif
}

/// n / d for n below 2^31 by a multiplication. [Granlund and Montgomery 1994]
struct Divider {
  uint32_t divisor = 1, magic = 1, shift = 0;

  Divider() = default;
  explicit Divider(int64_t d) : divisor(static_cast<uint32_t>(d)) {
    while ((uint64_t{1} << shift) < divisor) ++shift;
    magic = static_cast<uint32_t>(((uint64_t{1} << 32) * ((uint64_t{1} << shift) - divisor)) / divisor + 1);
  }
  HALO_HD uint32_t quotient(uint32_t n) const { return (static_cast<uint32_t>((static_cast<uint64_t>(n) * magic) >> 32) + n) >> shift; }
  HALO_HD uint32_t remainder(uint32_t n) const { return n - quotient(n) * divisor; }
};

/// Float types are computed in float32, double in itself.
template <class T>
using Real = std::conditional_t<std::is_same_v<T, double>, double, float>;

template <class T>
HALO_HD auto widened(T x) {
  if constexpr (std::is_same_v<T, BFloat16> || std::is_same_v<T, Float16>) {
    return to_float(x);
  } else {
    return x;
  }
}

template <class T, class V>
HALO_HD T narrowed(V x) {
  if constexpr (std::is_same_v<T, BFloat16> || std::is_same_v<T, Float16>) {
    return from_float<T>(static_cast<float>(x));
  } else {
    return static_cast<T>(x);
  }
}

/// Calls f.operator()<T>() with the type, which is one of the list's; refuses another.
template <class F>
Status dispatch_float(DType type, F&& f) {
  return dispatch(FloatTypes(), type, f);
}

template <class F>
Status dispatch_real(DType type, F&& f) {
  return dispatch(RealTypes(), type, f);
}

template <class F>
Status dispatch_number(DType type, F&& f) {
  return dispatch(NumberTypes(), type, f);
}

template <class F>
Status dispatch_index(DType type, F&& f) {
  return dispatch(IndexTypes(), type, f);
}

/// Calls f.operator()<T>() with an unsigned integer of this size.
template <class F>
Status dispatch_size(int64_t element_size, F&& f) {
  Status status;
  const auto run = [&]<class T>() { return element_size == static_cast<int64_t>(sizeof(T)) && (static_cast<void>(status = f.template operator()<T>()), true); };
  const bool is_known =
      run.template operator()<uint8_t>() || run.template operator()<uint16_t>() || run.template operator()<uint32_t>() || run.template operator()<uint64_t>();
  HALO_REQUIRE(is_known, "elements of 1, 2, 4 or 8 bytes", element_size, "Report the graph.");
  return status;
}

inline constexpr unsigned kAllLanes = 0xFFFFFFFFu;
inline constexpr int kWarp = 32;

struct SumOf {
  template <class T>
  __device__ T operator()(T a, T b) const {
    return a + b;
  }
};

/// NaN where either is one.
struct MaxOf {
  template <class T>
  __device__ T operator()(T a, T b) const {
    return a > b || a != a ? a : b;
  }
};

struct MinOf {
  template <class T>
  __device__ T operator()(T a, T b) const {
    return a < b || a != a ? a : b;
  }
};

/// All lanes get the combination of all, in the order of a butterfly.
template <class F, class T>
__device__ T over_warp(F combine, T value) {
  for (int mask = kWarp / 2; mask > 0; mask /= 2) value = combine(value, __shfl_xor_sync(kAllLanes, value, mask));
  return value;
}

/// All threads get the combination of all. Block sizes are multiples of 32; `empty` leaves others as they are. `scratch` has room for 32 of T.
template <class F, class T>
__device__ T over_block(F combine, T value, T empty, T* scratch) {
  const int thread = static_cast<int>(threadIdx.x + blockDim.x * threadIdx.y), warps = static_cast<int>(blockDim.x * blockDim.y) / kWarp;
  value = over_warp(combine, value);
  __syncthreads();
  if (thread % kWarp == 0) scratch[thread / kWarp] = value;
  __syncthreads();
  return over_warp(combine, thread % kWarp < warps ? scratch[thread % kWarp] : empty);
}

}  // namespace halo::cuda
