// CUDA kernels on the CPU, for machines without a GPU: blocks one after the other, the threads of a block as coroutines that change places at barriers
// alone. What it shows: indices (with a sanitizer, every access outside an allocation), missing barriers (threads run in order, or in reverse), arithmetic.
#pragma once

#include <math.h>

#include <cstdio>
#include <functional>
#include <memory>
#include <mutex>
#include <tuple>
#include <type_traits>
#include <vector>

#include "common/dtype.h"
#include "cuda_runtime_api.h"

#define __host__
#define __device__
#define __global__
#define __forceinline__ inline
#define __shared__ static
#define __launch_bounds__(...)
#define __align__(n) alignas(n)

struct uint2 {
  uint32_t x, y;
};
struct alignas(16) uint4 {
  uint32_t x, y, z, w;
};
struct dim3 {
  uint32_t x = 1, y = 1, z = 1;
  dim3(uint32_t x_size = 1, uint32_t y_size = 1, uint32_t z_size = 1) : x(x_size), y(y_size), z(z_size) {}
};
inline dim3 threadIdx, blockIdx, blockDim, gridDim;
inline constexpr int warpSize = 32;

namespace halo::emulator {

struct Group {
  int live = 0, arrived = 0;
  int64_t generation = 0;
};

struct Fiber {
  void* stack_pointer = nullptr;
  std::unique_ptr<char[]> stack;
  dim3 index;
  int warp = 0, lane = 0;
  bool done = false;
};

struct Slot {
  alignas(16) unsigned char bytes[64];
};

struct Block {
  std::vector<Fiber> fibers;
  std::vector<Group> warps;
  std::vector<Slot> slots;  // one a thread, for exchanges within warps
  Group all;
  Fiber* current = nullptr;
  void* scheduler = nullptr;
  std::function<void()> body;
  int64_t progress = 0;
};

Block& block();
/// Threads of the next blocks start in reverse.
bool& reversed();
unsigned char* dynamic_shared_memory();
void set_dynamic_shared_memory(size_t bytes);
void run_block(dim3 size);
void wait(Group& group);

inline Fiber& self() { return *block().current; }
inline Group& own_warp() { return block().warps[static_cast<size_t>(self().warp)]; }

/// What each lane of the warp has; those that do not exist give their last value.
template <class T>
void exchange(const T& mine, T* all) {
  static_assert(sizeof(T) <= sizeof(Slot));
  Slot* slots = block().slots.data() + self().warp * warpSize;
  std::memcpy(slots[self().lane].bytes, &mine, sizeof(T));
  wait(own_warp());
  for (int lane = 0; lane < warpSize; ++lane) std::memcpy(&all[lane], slots[lane].bytes, sizeof(T));
  wait(own_warp());
}

/// ldmatrix.x4, by rows of 8 16-bit elements.
inline void load_matrices(const void* row, bool transposed, uint32_t (&registers)[4]) {
  const void* rows[warpSize];
  exchange(row, rows);
  const int group = self().lane / 4, place = self().lane % 4;
  for (int i = 0; i < 4; ++i) {
    const auto at = [&](int r, int c) { return static_cast<uint32_t>(static_cast<const uint16_t*>(rows[8 * i + r])[c]); };
    registers[i] = transposed ? at(2 * place, group) | at(2 * place + 1, group) << 16 : at(group, 2 * place) | at(group, 2 * place + 1) << 16;
  }
}

inline void copy_16(void* to, const void* from, bool is_inside) {
  if (is_inside) {
    std::memcpy(to, from, 16);
  } else {
    std::memset(to, 0, 16);
  }
}

/// mma.m16n8k16 with float32 sums.
template <class T>
void multiply_add(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  struct Operands {
    uint32_t a[4], b[2];
  } own{{a[0], a[1], a[2], a[3]}, {b0, b1}}, all[warpSize];
  exchange(own, all);
  const auto half = [](uint32_t pair, int k) { return to_float(T{static_cast<uint16_t>(pair >> (16 * (k % 2)))}); };
  for (int i = 0; i < 4; ++i) {
    const int row = self().lane / 4 + i / 2 * 8, column = self().lane % 4 * 2 + i % 2;
    for (int k = 0; k < 16; ++k) {
      const uint32_t left = all[row % 8 * 4 + k % 8 / 2].a[row / 8 + k / 8 * 2], right = all[column * 4 + k % 8 / 2].b[k / 8];
      c[i] += half(left, k) * half(right, k);
    }
  }
}

template <class T>
T from_lane(const T& mine, int lane) {
  T all[warpSize];
  exchange(mine, all);
  return all[lane & (warpSize - 1)];
}

}  // namespace halo::emulator

inline void __syncthreads() { halo::emulator::wait(halo::emulator::block().all); }
inline void __syncwarp(uint32_t = ~0u) { halo::emulator::wait(halo::emulator::own_warp()); }
template <class T>
T __shfl_xor_sync(uint32_t, T value, int mask) {
  return halo::emulator::from_lane(value, halo::emulator::self().lane ^ mask);
}
template <class T>
T __shfl_down_sync(uint32_t, T value, int delta) {
  const int lane = halo::emulator::self().lane;
  return halo::emulator::from_lane(value, lane + delta < warpSize ? lane + delta : lane);
}
template <class T>
T __shfl_sync(uint32_t, T value, int lane) {
  return halo::emulator::from_lane(value, lane);
}
inline uint32_t __ballot_sync(uint32_t, bool vote) {
  int votes[warpSize];
  halo::emulator::exchange<int>(vote, votes);
  uint32_t result = 0;
  for (int lane = 0; lane < warpSize; ++lane) result |= static_cast<uint32_t>(votes[lane] != 0) << lane;
  return result;
}

/// Threads are coroutines of one thread: nothing comes in between.
inline uint32_t atomicMax(uint32_t* at, uint32_t value) {
  const uint32_t old = *at;
  *at = old > value ? old : value;
  return old;
}
inline uint32_t __byte_perm(uint32_t low, uint32_t high, uint32_t choice) {
  const uint64_t all = static_cast<uint64_t>(high) << 32 | low;
  uint32_t result = 0;
  for (int i = 0; i < 4; ++i) result |= static_cast<uint32_t>(all >> (8 * (choice >> (4 * i) & 7)) & 0xFF) << (8 * i);
  return result;
}
inline int __popc(uint32_t x) { return __builtin_popcount(x); }
inline int __ffs(int x) { return __builtin_ffs(x); }

/// Kernels run one after the other: a dependent one starts when the one before has ended.
enum cudaLaunchAttributeID { cudaLaunchAttributeProgrammaticStreamSerialization };
struct cudaLaunchAttribute {
  cudaLaunchAttributeID id;
  struct {
    int programmaticStreamSerializationAllowed;
  } val;
};
struct cudaLaunchConfig_t {
  dim3 gridDim, blockDim;
  size_t dynamicSmemBytes = 0;
  cudaStream_t stream = nullptr;
  cudaLaunchAttribute* attrs = nullptr;
  unsigned numAttrs = 0;
};

namespace halo::emulator {

/// Held by the kernel that runs: indices and shared memory are one GPU's, which ranks that are threads share.
inline std::mutex& running() {
  static std::mutex mutex;
  return mutex;
}

}  // namespace halo::emulator

template <class... P, class... A>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config, void (*kernel)(P...), A&&... arguments) {
  if (config->blockDim.x * config->blockDim.y * config->blockDim.z > 1024 || config->gridDim.x == 0 || config->gridDim.y > 65535 || config->gridDim.y == 0 ||
      config->gridDim.z > 65535 || config->gridDim.z == 0 || config->dynamicSmemBytes > 232448) {
    return cudaErrorInvalidValue;
  }
  return halo::emulator::carry_out([=, grid = config->gridDim, threads = config->blockDim, shared = config->dynamicSmemBytes,
                                    values = std::tuple<std::remove_cv_t<P>...>(static_cast<P>(arguments)...)] {
    const std::lock_guard lock(halo::emulator::running());
    halo::emulator::block().body = [&] { std::apply(kernel, values); };
    gridDim = grid;
    blockDim = threads;
    for (uint32_t z = 0; z < grid.z; ++z) {
      for (uint32_t y = 0; y < grid.y; ++y) {
        for (uint32_t x = 0; x < grid.x; ++x) {
          blockIdx = dim3(x, y, z);
          halo::emulator::set_dynamic_shared_memory(shared);
          halo::emulator::run_block(threads);
        }
      }
    }
  });
}
