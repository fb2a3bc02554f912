// What the kernels of attention's gradient share: their arguments, and how the two of a kind are launched.
#pragma once

#include "ops/attention/attention_tiles.cuh"
#include "ops/attention_grad/attention_grad.h"

namespace halo {

template <class T>
struct AttentionGradTensors {
  const T *dy, *q, *k, *v, *y;
  const float *log_sum_exp, *delta;
  T *dq, *dk, *dv;
  const int32_t* only_rows;
  float scale;
  bool is_packed;  // rows of the inputs are whole packs of 16 bytes
  attention_tiles::AttentionStrides strides;
};

template <class T>
using GradientKernel = void (*)(AttentionGradTensors<T>, AttentionMask, AttentionSizes);

/// What a gradient's kernel is launched with: threads of a block, rows of its own tile, bytes of shared memory.
template <class T>
struct GradientLaunch {
  GradientKernel<T> kernel;
  int threads, tile, bytes;
};

/// The kernels for keys and queries, as far as their gradients are asked for.
template <class T>
Status launch_gradients(const GradientLaunch<T>& by_keys, const GradientLaunch<T>& by_queries, const AttentionGradTensors<T>& b, const AttentionMask& mask,
                        const AttentionSizes& sizes, cudaStream_t stream) {
  const auto launch = [&](const GradientLaunch<T>& plan, int64_t rows, int64_t heads) -> Status {
    HALO_CUDA_RETURN_IF_ERROR(cudaFuncSetAttribute(plan.kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, plan.bytes));
    const dim3 grid(cuda::grid_for(rows, plan.tile), static_cast<unsigned>(sizes.batch * heads));
    return cuda::launch(plan.kernel, grid, plan.threads, static_cast<size_t>(plan.bytes), stream, b, mask, sizes);
  };
  if (b.dk != nullptr || b.dv != nullptr) HALO_RETURN_IF_ERROR(launch(by_keys, sizes.keys, sizes.groups));
  return b.dq == nullptr ? Status() : launch(by_queries, sizes.queries, sizes.heads);
}

/// The gradients by the matrix units, where delta is there. T: BFloat16, Float16.
template <class T>
Status attention_grad_units(const AttentionGradTensors<T>& b, const AttentionMask& mask, const AttentionSizes& sizes, cudaStream_t stream);

}  // namespace halo
