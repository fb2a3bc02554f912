// Rows that a block walks along, 16 bytes a thread and step.
#pragma once

#include <algorithm>

#include "provider/kernels/broadcast.cuh"

namespace halo::cuda {

template <class T>
inline constexpr int kRowWidth = 16 / static_cast<int>(sizeof(T));

/// Whether rows of `columns` elements can be loaded and stored 16 bytes at a time.
template <class T>
bool rows_are_packed(int64_t columns, std::initializer_list<const void*> pointers) {
  bool packed = columns % kRowWidth<T> == 0;
  for (const void* pointer : pointers) packed = packed && is_aligned(pointer, 16);
  return packed;
}

/// Threads for a row: enough that each has a few steps.
template <class T>
unsigned threads_for_row(int64_t columns, int64_t most) {
  return static_cast<unsigned>(std::clamp<int64_t>(ceil_div(columns, kRowWidth<T> * kWarp) * kWarp, kWarp, most));
}

/// Calls f(first column, how many, whether whole) for the packs of this thread.
template <class T, class F>
__device__ void for_packs(int64_t columns, bool is_packed, F&& f) {
  for (int64_t at = static_cast<int64_t>(threadIdx.x) * kRowWidth<T>; at < columns; at += static_cast<int64_t>(blockDim.x) * kRowWidth<T>) {
    const int64_t left = columns - at;
    const int own = left < kRowWidth<T> ? static_cast<int>(left) : kRowWidth<T>;
    f(at, own, is_packed && own == kRowWidth<T>);
  }
}

}  // namespace halo::cuda
