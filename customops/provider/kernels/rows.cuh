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
    const int count = left < kRowWidth<T> ? static_cast<int>(left) : kRowWidth<T>;
    f(at, count, is_packed && count == kRowWidth<T>);
  }
}

/// Packs that a thread has in flight.
inline constexpr int kRowPacks = 4;

/// Threads for a row whose packs are loaded kRowPacks at a time: as few as have all of them at once, so that sums over a block are few, too.
template <class T>
unsigned threads_for_packs(int64_t columns, int64_t most) {
  return threads_for_row<T>(ceil_div(columns, kRowPacks), most);
}

/// Up to kRowPacks packs of a row from column `first` on, a block apart: what this thread has of one step.
template <class T>
struct RowPacks {
  static constexpr int kWidth = kRowWidth<T>, kCount = kRowPacks * kWidth;
  T values[kRowPacks][kWidth];

  /// The first column of this thread's pack, in elements; packs of `pack` in [0, kRowPacks).
  static __device__ int64_t column(int64_t first, int pack) { return first + static_cast<int64_t>(pack) * blockDim.x * kWidth; }
  /// How many of the pack's elements the row has: at most kWidth, 0 or less for a pack behind its end.
  static __device__ int count_in(int64_t first, int pack, int64_t columns) {
    const int64_t left = columns - column(first, pack);
    return left < kWidth ? static_cast<int>(left) : kWidth;
  }

  __device__ void load(const T* row, int64_t first, int64_t columns, bool is_packed) {
#pragma unroll
    for (int p = 0; p < kRowPacks; ++p) {
      const int count = count_in(first, p, columns);
      load_pack<kWidth>(row, column(first, p), 1, is_packed && count == kWidth, count, values[p]);
    }
  }

  /// Element e of pack p as a number, `empty` behind the row's end.
  template <class V>
  __device__ V number(int64_t first, int64_t columns, int p, int e, V empty) const {
    return e < count_in(first, p, columns) ? static_cast<V>(widened(values[p][e])) : empty;
  }

  template <class V>
  __device__ void numbers(int64_t first, int64_t columns, V empty, V (&result)[kCount]) const {
#pragma unroll
    for (int p = 0; p < kRowPacks; ++p) {
#pragma unroll
      for (int e = 0; e < kWidth; ++e) result[p * kWidth + e] = number(first, columns, p, e, empty);
    }
  }

  /// Stores f(pack, element) where the row has elements.
  template <class F>
  static __device__ void store(T* row, int64_t first, int64_t columns, bool is_packed, F&& f) {
#pragma unroll
    for (int p = 0; p < kRowPacks; ++p) {
      const int count = count_in(first, p, columns);
      if (count <= 0) continue;
      T results[kWidth];
#pragma unroll
      for (int e = 0; e < kWidth; ++e) results[e] = f(p, e);
      store_pack<kWidth>(row + column(first, p), is_packed && count == kWidth, count, results);
    }
  }
};

/// Calls f(packs, first column) for this thread's steps along a row.
template <class T, class F>
__device__ void for_row_packs(const T* row, int64_t columns, bool is_packed, F&& f) {
  for (int64_t first = static_cast<int64_t>(threadIdx.x) * kRowWidth<T>; first < columns;
       first += static_cast<int64_t>(blockDim.x) * kRowWidth<T> * kRowPacks) {
    RowPacks<T> packs;
    packs.load(row, first, columns, is_packed);
    f(packs, first);
  }
}

/// What a thread has of one step of a block through [first, end) of a tensor: `packs` packs of 16 bytes, a block of `threads` apart, all in flight; zeros
/// behind the end.
template <class T, int threads, int packs>
struct StepPacks {
  static constexpr int kWidth = kRowWidth<T>;
  static constexpr int64_t kStep = int64_t{threads} * packs * kWidth;  // elements of the block's step
  T values[packs][kWidth];

  __device__ StepPacks(const T* x, int64_t first, int64_t end, bool is_packed) {
    const bool is_whole = is_packed && first + kStep <= end;
#pragma unroll
    for (int p = 0; p < packs; ++p) {
      const int64_t at = first + (static_cast<int64_t>(p) * threads + threadIdx.x) * kWidth, left = end - at;
      if (!is_whole) {
#pragma unroll
        for (int i = 0; i < kWidth; ++i) values[p][i] = T{};
      }
      load_pack<kWidth>(x, at, 1, is_whole, left < kWidth ? static_cast<int>(left) : kWidth, values[p]);
    }
  }

  /// f(element, its place in its pack), in the order of the tensor.
  template <class F>
  __device__ void for_each(F&& f) const {
#pragma unroll
    for (int p = 0; p < packs; ++p) {
#pragma unroll
      for (int i = 0; i < kWidth; ++i) f(values[p][i], i);
    }
  }
};

}  // namespace halo::cuda
