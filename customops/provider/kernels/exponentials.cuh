// Sums of exponentials in one pass: the maximum so far, and the sum of what was seen, less it. [Milakov and Gimelshein 2018]
#pragma once

#include "provider/kernels/device.cuh"

namespace halo::cuda {

template <class V>
struct Exponentials {
  V max = -std::numeric_limits<V>::infinity(), sum = 0;
};

/// x less a maximum, which is -Inf where nothing was seen. +Inf makes NaN of the sum, as it does elsewhere.
template <class V>
__device__ V below(V x, V max) {
  return max == -std::numeric_limits<V>::infinity() ? V(0) : x - max;
}

template <int count, class V>
__device__ void add(Exponentials<V>& running, const V (&x)[count]) {
  V max = running.max;
#pragma unroll
  for (int i = 0; i < count; ++i) max = MaxOf()(max, x[i]);
  if (max != running.max) {
    running.sum *= exp(below(running.max, max));
    running.max = max;
  }
#pragma unroll
  for (int i = 0; i < count; ++i) running.sum += exp(below(x[i], max));
}

template <class V>
__device__ void add(Exponentials<V>& running, V x) {
  const V one[1] = {x};
  add(running, one);
}

/// All threads get the whole of what each has in `partial`. `scratch` has room for 32.
template <class V>
__device__ Exponentials<V> merged_over_block(Exponentials<V> partial, V* scratch) {
  const V max = over_block(MaxOf(), partial.max, -std::numeric_limits<V>::infinity(), scratch);
  const V sum = over_block(SumOf(), partial.sum * exp(below(partial.max, max)), V(0), scratch);
  return {max, sum};
}

template <class V>
__device__ V logarithm_of(Exponentials<V> all) {
  return isinf(all.max) ? all.max : all.max + log(all.sum);
}

}  // namespace halo::cuda
