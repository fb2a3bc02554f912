#include "provider/kernels/exponentials.cuh"
#include "provider/kernels/reduce.cuh"
#include "provider/kernels/rows.cuh"

namespace halo::cuda {

namespace {

template <bool logarithm, class V>
__device__ V normalized(V x, Exponentials<V> all, V log_sum) {
  return logarithm ? x - all.max - log_sum : exp(x - all.max) / all.sum;  // a row of -Inf alone becomes NaN
}

/// A block has one row, of which each thread keeps its numbers: the maximum, then exponentials, their sum, and what is stored. Reads and writes each element
/// once; bound by memory.
template <bool logarithm, class T>
__global__ void __launch_bounds__(512) softmax_registers_kernel(const T* x, T* y, int64_t size, bool is_packed) {
  using V = Real<T>;
  constexpr int kCount = RowPacks<T>::kCount;
  constexpr V kNothing = -std::numeric_limits<V>::infinity();
  __shared__ V scratch[kWarp];
  const T* in = x + static_cast<int64_t>(blockIdx.x) * size;
  const int64_t first = static_cast<int64_t>(threadIdx.x) * kRowWidth<T>;  // the first column of this thread's first pack
  RowPacks<T> packs;
  packs.load(in, first, size, is_packed);
  V numbers[kCount], max = kNothing, sum = 0;
  packs.numbers(first, size, kNothing, numbers);
#pragma unroll
  for (int i = 0; i < kCount; ++i) max = MaxOf()(max, numbers[i]);
  max = over_block(MaxOf(), max, kNothing, scratch);
#pragma unroll
  for (int i = 0; i < kCount; ++i) {
    const V less = numbers[i] - max, power = exp(less);
    // What is behind the end of the row counts nothing, also where the row has nothing but -Inf, and so NaN.
    if (i % kRowWidth<T> < RowPacks<T>::count_in(first, i / kRowWidth<T>, size)) sum += power;
    numbers[i] = logarithm ? less : power;
  }
  sum = over_block(SumOf(), sum, V(0), scratch);
  const V log_sum = logarithm ? log(sum) : V(0), factor = V(1) / sum;
  RowPacks<T>::store(y + static_cast<int64_t>(blockIdx.x) * size, first, size, is_packed, [&](int p, int e) {
    const V number = numbers[p * kRowWidth<T> + e];
    return narrowed<T>(logarithm ? number - log_sum : number * factor);
  });
}

/// A block has one row that does not fit in registers, 16 bytes a thread and step: one pass for maximum and sum together, a second one, from cache, that
/// writes.
template <bool logarithm, class T>
__global__ void __launch_bounds__(1024) softmax_rows_kernel(const T* x, T* y, int64_t size, bool is_packed) {
  using V = Real<T>;
  constexpr int kWidth = kRowWidth<T>;
  __shared__ V scratch[kWarp];
  const T* in = x + static_cast<int64_t>(blockIdx.x) * size;
  T* out = y + static_cast<int64_t>(blockIdx.x) * size;
  Exponentials<V> partial;
  for_packs<T>(size, is_packed, [&](int64_t at, int count, bool is_whole) {
    T values[kWidth];
    V numbers[kWidth];
    load_pack<kWidth>(in, at, 1, is_whole, count, values);
#pragma unroll
    for (int i = 0; i < kWidth; ++i) numbers[i] = i < count ? static_cast<V>(widened(values[i])) : -std::numeric_limits<V>::infinity();
    add(partial, numbers);
  });
  const Exponentials<V> all = merged_over_block(partial, scratch);
  const V log_sum = log(all.sum);
  for_packs<T>(size, is_packed, [&](int64_t at, int count, bool is_whole) {
    T values[kWidth], results[kWidth];
    load_pack<kWidth>(in, at, 1, is_whole, count, values);
#pragma unroll
    for (int i = 0; i < kWidth; ++i) {
      if (i < count) results[i] = narrowed<T>(normalized<logarithm>(static_cast<V>(widened(values[i])), all, log_sum));
    }
    store_pack<kWidth>(out + at, is_whole, count, results);
  });
}

/// A thread has one (outer, inner) pair; neighbours read neighbours.
template <bool logarithm, class T>
__global__ void __launch_bounds__(256) softmax_columns_kernel(const T* x, T* y, int64_t outer, int64_t size, int64_t inner) {
  using V = Real<T>;
  const int64_t pair = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (pair >= outer * inner) return;
  const int64_t base = pair / inner * size * inner + pair % inner;
  Exponentials<V> all;
  for (int64_t i = 0; i < size; ++i) add(all, static_cast<V>(widened(x[base + i * inner])));
  const V log_sum = log(all.sum);
  for (int64_t i = 0; i < size; ++i) {
    y[base + i * inner] = narrowed<T>(normalized<logarithm>(static_cast<V>(widened(x[base + i * inner])), all, log_sum));
  }
}

template <bool logarithm>
Status softmax_as(DType type, const void* x, void* y, int64_t outer, int64_t size, int64_t inner, cudaStream_t stream) {
  return dispatch_real(type, [&]<class T>() {
    const auto* in = static_cast<const T*>(x);
    auto* out = static_cast<T*>(y);
    if (inner == 1) {
      constexpr int64_t kMostInRegisters = 512 * kRowWidth<T> * kRowPacks;
      if (size <= kMostInRegisters) {
        return launch(softmax_registers_kernel<logarithm, T>, static_cast<unsigned>(outer), threads_for_packs<T>(size, 512), 0, stream, in, out, size,
                      rows_are_packed<T>(size, {x, y}));
      }
      return launch(softmax_rows_kernel<logarithm, T>, static_cast<unsigned>(outer), threads_for_row<T>(size, 1024), 0, stream, in, out, size,
                    rows_are_packed<T>(size, {x, y}));
    }
    return launch(softmax_columns_kernel<logarithm, T>, grid_for(outer * inner, 256), 256, 0, stream, in, out, outer, size, inner);
  });
}

/// A block has one element of y.
template <class T>
__global__ void __launch_bounds__(256) log_sum_exp_kernel(const T* x, T* y, ReducePlan plan) {
  using V = Real<T>;
  __shared__ V scratch[kWarp];
  const T* base = x + offset_of(blockIdx.x, plan.output_rank, plan.output_sizes, plan.output_strides);
  Exponentials<V> partial;
  for (int64_t i = threadIdx.x; i < plan.reduced; i += blockDim.x) {
    add(partial, static_cast<V>(widened(base[offset_of(static_cast<uint32_t>(i), plan.reduced_rank, plan.reduced_sizes, plan.reduced_strides)])));
  }
  const Exponentials<V> all = merged_over_block(partial, scratch);
  if (threadIdx.x == 0) y[blockIdx.x] = narrowed<T>(logarithm_of(all));
}

}  // namespace

Status softmax(bool logarithm, DType type, const void* x, void* y, int64_t outer, int64_t size, int64_t inner, cudaStream_t stream) {
  if (outer * size * inner == 0) return {};
  HALO_REQUIRE(outer <= kMostBlocksX, "at most " << kMostBlocksX << " rows", outer, "Take a smaller batch or a shorter sequence.");
  return logarithm ? softmax_as<true>(type, x, y, outer, size, inner, stream) : softmax_as<false>(type, x, y, outer, size, inner, stream);
}

Status reduce_log_sum_exp(DType type, const void* x, void* y, const ReducePlan& plan, cudaStream_t stream) {
  return dispatch_real(type, [&]<class T>() {
    return launch(log_sum_exp_kernel<T>, static_cast<unsigned>(plan.outputs), 256, 0, stream, static_cast<const T*>(x), static_cast<T*>(y), plan);
  });
}

}  // namespace halo::cuda
