#include "provider/kernels/heads.h"

#include "provider/kernels/device.cuh"

namespace halo::cuda {

namespace {

constexpr int kThreads = 256;

/// A thread has a pair of channels that turn, or a channel that does not. Reads and writes each element once; bound by memory.
template <class T>
__global__ void __launch_bounds__(kThreads) place_heads_kernel(const T* x, HeadStrides from, T* y, HeadStrides to, HeadSizes sizes, Rotation rotation,
                                                               const int64_t* slots, int64_t slot_count, int64_t count) {
  const int64_t at = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (at >= count) return;
  const int64_t half = rotation.turned / 2, units = sizes.dim - half;
  const int64_t unit = at % units, row = at / units;  // the pair or the channel behind the pairs; the row of channels of x, by (batch, head, token)
  const int64_t token = row % sizes.tokens, head = row / sizes.tokens % sizes.heads, batch = row / sizes.tokens / sizes.heads;
  const int64_t slot = slots == nullptr ? token : slots[batch * sizes.tokens + token];
  if (slot < 0 || slot >= slot_count) return;
  const T* in = x + batch * from.batch + head * from.head + token * from.token;
  T* out = y + batch * to.batch + head * to.head + slot * to.token;
  if (unit >= half) {
    out[unit + half] = in[unit + half];
    return;
  }
  const int64_t position = rotation.positions == nullptr ? batch * rotation.batch_rows + token : rotation.positions[batch * sizes.tokens + token];
  const bool is_inside = position >= 0 && position < rotation.rows;
  const T* cos = static_cast<const T*>(rotation.cos);
  const T* sin = static_cast<const T*>(rotation.sin);
  const float c = is_inside ? to_float(cos[position * half + unit]) : std::numeric_limits<float>::quiet_NaN();
  const float s = is_inside ? to_float(sin[position * half + unit]) : c;
  const int64_t first = rotation.is_interleaved ? 2 * unit : unit, second = rotation.is_interleaved ? first + 1 : unit + half;
  const float a = to_float(in[first]), b = to_float(in[second]);
  out[first] = from_float<T>(a * c - b * s);
  out[second] = from_float<T>(b * c + a * s);
}

__global__ void __launch_bounds__(kThreads) cache_slots_kernel(const int32_t* seqlens_k, int64_t tokens, bool is_prompt, int64_t* slots, int64_t count) {
  const int64_t at = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (at >= count) return;
  const int64_t token = at % tokens;
  slots[at] = is_prompt ? token : static_cast<int64_t>(seqlens_k[at / tokens]) + 1 - tokens + token;
}

}  // namespace

Status place_heads(DType type, const void* x, const HeadStrides& x_strides, void* y, const HeadStrides& y_strides, const HeadSizes& sizes,
                   const Rotation& rotation, const int64_t* slots, int64_t slot_count, cudaStream_t stream) {
  HALO_REQUIRE(rotation.turned % 2 == 0 && rotation.turned <= sizes.dim, "an even number of turned channels, at most " << sizes.dim, rotation.turned,
               "Check rotary_embedding_dim.");
  HALO_REQUIRE(rotation.turned == 0 || rotation.cos != nullptr, "tables of angles", "none", "Give cos_cache and sin_cache.");
  const int64_t count = sizes.batch * sizes.heads * sizes.tokens * (sizes.dim - rotation.turned / 2);
  return dispatch_float(type, [&]<class T>() {
    return launch(place_heads_kernel<T>, grid_for(count, kThreads), kThreads, 0, stream, static_cast<const T*>(x), x_strides, static_cast<T*>(y), y_strides,
                  sizes, rotation, slots, slot_count, count);
  });
}

Status cache_slots(const int32_t* seqlens_k, int64_t batch, int64_t tokens, bool is_prompt, int64_t* slots, cudaStream_t stream) {
  const int64_t count = batch * tokens;
  return launch(cache_slots_kernel, grid_for(count, kThreads), kThreads, 0, stream, seqlens_k, tokens, is_prompt, slots, count);
}

}  // namespace halo::cuda
