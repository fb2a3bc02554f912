// Reductions along any axes: how the axes are split, and what is combined.
#pragma once

#include <algorithm>

#include "provider/kernels/device.cuh"
#include "provider/kernels/reduce.h"

namespace halo::cuda {

/// Axes of x, the innermost first, neighbours of one kind taken together.
struct ReducePlan {
  // Of the axes that y has, and of those that are reduced; strides in elements of x.
  int output_rank = 0, reduced_rank = 0;
  Divider output_sizes[kMaxRank], reduced_sizes[kMaxRank];
  int64_t output_strides[kMaxRank] = {}, reduced_strides[kMaxRank] = {};
  int64_t outputs = 1, reduced = 1;  // elements of y; elements of x for each

  /// True where neighbours in memory belong to one element of y.
  bool is_row = false;

  /// Neighbouring outputs of a thread where those of x do not belong to one: 4 where all lie together.
  int width = 1;

  /// Pieces that the reduced elements are cut into, each `piece` long, so that few outputs keep all multiprocessors busy. Sizes alone decide.
  int64_t pieces = 1, piece = 0;

  /// Threads of a row: a warp where there are rows for all multiprocessors.
  int row_threads = kWarp;
};

inline ReducePlan plan_reduce(const Dims& x, const bool* reduced) {
  ReducePlan plan;
  int64_t stride = 1, output_sizes[kMaxRank], reduced_sizes[kMaxRank];
  int last = -1;  // 0: an axis of y, 1: a reduced one
  for (int axis = x.rank - 1; axis >= 0; --axis) {
    const int64_t size = x.sizes[axis];
    const int kind = reduced[axis] ? 1 : 0;
    (kind ? plan.reduced : plan.outputs) *= size;
    if (size == 1) continue;
    int& rank = kind ? plan.reduced_rank : plan.output_rank;
    auto& sizes = kind ? reduced_sizes : output_sizes;
    auto& strides = kind ? plan.reduced_strides : plan.output_strides;
    if (last < 0) plan.is_row = kind == 1;
    if (kind == last) {
      sizes[rank - 1] *= size;
    } else {
      strides[rank] = stride;
      sizes[rank++] = size;
    }
    last = kind;
    stride *= size;
  }
  if (last < 0) plan.is_row = true;
  for (int i = 0; i < plan.output_rank; ++i) plan.output_sizes[i] = Divider(std::max<int64_t>(1, output_sizes[i]));
  for (int i = 0; i < plan.reduced_rank; ++i) plan.reduced_sizes[i] = Divider(std::max<int64_t>(1, reduced_sizes[i]));
  constexpr int64_t kLeastPiece = 1024, kMostPieces = 512, kWantedBlocks = 512;
  if (!plan.is_row && plan.output_rank == 1 && plan.output_strides[0] == 1 && plan.outputs % 4 == 0) plan.width = 4;
  const int64_t blocks = plan.is_row ? plan.outputs : ceil_div(plan.outputs, kWarp * plan.width);
  if (blocks < kWantedBlocks && plan.reduced > 2 * kLeastPiece) {
    plan.pieces = std::clamp<int64_t>(kWantedBlocks / std::max<int64_t>(1, blocks), 1, std::min(kMostPieces, plan.reduced / kLeastPiece));
  }
  constexpr int64_t kWholePacks = 16;  // the most elements that are loaded at once
  plan.piece = ceil_div(ceil_div(plan.reduced, plan.pieces), kWholePacks) * kWholePacks;
  constexpr int64_t kManyRows = 2048, kShortRow = 1024;
  plan.row_threads = plan.outputs * plan.pieces >= kManyRows || plan.piece <= kShortRow ? kWarp : 256;
  return plan;
}

__device__ inline int64_t offset_of(uint32_t index, int rank, const Divider* sizes, const int64_t* strides) {
  int64_t offset = 0;
  for (int i = 0; i < rank; ++i) {
    const uint32_t quotient = i == rank - 1 ? 0 : sizes[i].quotient(index);
    offset += static_cast<int64_t>(index - quotient * sizes[i].divisor) * strides[i];
    index = quotient;
  }
  return offset;
}

/// V: what is summed in. `start` of one element, `combine` of two, `finish` of all `count`.
template <ReduceOp op, class V>
struct Reduction {
  static __device__ V empty() {
    if constexpr (op == ReduceOp::kProd) return V(1);
    if constexpr (op == ReduceOp::kMax) return std::is_floating_point_v<V> ? -std::numeric_limits<V>::infinity() : std::numeric_limits<V>::lowest();
    if constexpr (op == ReduceOp::kMin) return std::is_floating_point_v<V> ? std::numeric_limits<V>::infinity() : std::numeric_limits<V>::max();
    return V(0);
  }
  static __device__ V start(V x) {
    if constexpr (op == ReduceOp::kSumSquare || op == ReduceOp::kL2) return x * x;
    if constexpr (op == ReduceOp::kL1) return x < 0 ? -x : x;
    return x;
  }
  __device__ V operator()(V a, V b) const {
    if constexpr (op == ReduceOp::kProd) return a * b;
    if constexpr (op == ReduceOp::kMax) return MaxOf()(a, b);
    if constexpr (op == ReduceOp::kMin) return MinOf()(a, b);
    return a + b;
  }
  static __device__ V finish(V x, int64_t count) {
    if constexpr (op == ReduceOp::kMean) return x / static_cast<V>(count);
    if constexpr (op == ReduceOp::kL2) return static_cast<V>(sqrt(x));
    return x;
  }
};

/// blockDim.x threads have one element of y and one piece of its elements of x, which lie together: 16 bytes a thread and step, four steps in flight. Elements
/// that cannot be loaded whole are added in the same order. Reads x once; bound by memory.
/// grid: (outputs / blockDim.y, pieces). With `partial`, sums go there by (piece, output) instead of to y.
template <ReduceOp op, class T, class V>
__global__ void __launch_bounds__(256) reduce_rows_kernel(const T* x, T* y, V* partial, ReducePlan plan, bool is_packed) {
  using R = Reduction<op, V>;
  constexpr int kWidth = 16 / static_cast<int>(sizeof(T)), kInFlight = 4;
  __shared__ V scratch[kWarp];
  const int64_t out = static_cast<int64_t>(blockIdx.x) * blockDim.y + threadIdx.y, begin = blockIdx.y * plan.piece;
  const int64_t end = begin + plan.piece < plan.reduced ? begin + plan.piece : plan.reduced, step = static_cast<int64_t>(blockDim.x) * kWidth;
  if (out >= plan.outputs) return;  // a whole warp: blocks of larger rows have one
  const T* base = x + offset_of(static_cast<uint32_t>(out), plan.output_rank, plan.output_sizes, plan.output_strides);
  V sums[kWidth];
#pragma unroll
  for (int e = 0; e < kWidth; ++e) sums[e] = R::empty();
  for (int64_t first = begin + threadIdx.x * kWidth; first < end; first += kInFlight * step) {
    Pack<T, kWidth> packs[kInFlight];
#pragma unroll
    for (int n = 0; n < kInFlight; ++n) {
      const int64_t i = first + n * step;
      if (is_packed && i + kWidth <= end) {
        packs[n] = *reinterpret_cast<const Pack<T, kWidth>*>(base + i);
      } else {
#pragma unroll
        for (int e = 0; e < kWidth; ++e) {
          if (i + e >= end) continue;
          packs[n].values[e] =
              base[plan.reduced_rank <= 1 ? i + e : offset_of(static_cast<uint32_t>(i + e), plan.reduced_rank, plan.reduced_sizes, plan.reduced_strides)];
        }
      }
    }
#pragma unroll
    for (int n = 0; n < kInFlight; ++n) {
#pragma unroll
      for (int e = 0; e < kWidth; ++e) {
        if (first + n * step + e < end) sums[e] = R()(sums[e], R::start(static_cast<V>(widened(packs[n].values[e]))));
      }
    }
  }
#pragma unroll
  for (int half = kWidth / 2; half > 0; half /= 2) {
#pragma unroll
    for (int e = 0; e < half; ++e) sums[e] = R()(sums[e], sums[e + half]);
  }
  const V sum = blockDim.x == kWarp ? over_warp(R(), sums[0]) : over_block(R(), sums[0], R::empty(), scratch);
  if (threadIdx.x != 0) return;
  if (partial != nullptr) {
    partial[blockIdx.y * plan.outputs + out] = sum;
  } else {
    y[out] = narrowed<T>(R::finish(sum, plan.reduced));
  }
}

/// A block has 32 x `width` neighbouring elements of y, each summed by 8 threads over one piece. Reads x once; bound by memory.
/// grid: (outputs / (32 width), pieces).
template <ReduceOp op, int width, class T, class V>
__global__ void __launch_bounds__(256) reduce_columns_kernel(const T* x, T* y, V* partial, ReducePlan plan) {
  using R = Reduction<op, V>;
  constexpr int kInFlight = 4;
  __shared__ V scratch[8][kWarp * width + 1];
  const int64_t out = (static_cast<int64_t>(blockIdx.x) * kWarp + threadIdx.x) * width, begin = blockIdx.y * plan.piece;
  const int64_t end = begin + plan.piece < plan.reduced ? begin + plan.piece : plan.reduced;
  V sums[width];
#pragma unroll
  for (int i = 0; i < width; ++i) sums[i] = R::empty();
  if (out < plan.outputs) {
    const T* base = x + (width > 1 ? out : offset_of(static_cast<uint32_t>(out), plan.output_rank, plan.output_sizes, plan.output_strides));
    const auto load = [&](int64_t i) {
      const int64_t offset = plan.reduced_rank == 1 ? i * plan.reduced_strides[0]
                                                    : offset_of(static_cast<uint32_t>(i), plan.reduced_rank, plan.reduced_sizes, plan.reduced_strides);
      return *reinterpret_cast<const Pack<T, width>*>(base + offset);
    };
    const auto take = [&](const Pack<T, width>& pack) {
#pragma unroll
      for (int n = 0; n < width; ++n) sums[n] = R()(sums[n], R::start(static_cast<V>(widened(pack.values[n]))));
    };
    int64_t i = begin + threadIdx.y;
    for (; i + 8 * (kInFlight - 1) < end; i += 8 * kInFlight) {
      Pack<T, width> packs[kInFlight];
#pragma unroll
      for (int n = 0; n < kInFlight; ++n) packs[n] = load(i + 8 * n);
#pragma unroll
      for (int n = 0; n < kInFlight; ++n) take(packs[n]);
    }
    for (; i < end; i += 8) take(load(i));
  }
#pragma unroll
  for (int n = 0; n < width; ++n) scratch[threadIdx.y][threadIdx.x * width + n] = sums[n];
  __syncthreads();
  if (threadIdx.y != 0 || out >= plan.outputs) return;
#pragma unroll
  for (int i = 0; i < width; ++i) {
    V sum = scratch[0][threadIdx.x * width + i];
    for (int n = 1; n < 8; ++n) sum = R()(sum, scratch[n][threadIdx.x * width + i]);
    if (partial != nullptr) {
      partial[blockIdx.y * plan.outputs + out + i] = sum;
    } else {
      y[out + i] = narrowed<T>(R::finish(sum, plan.reduced));
    }
  }
}

/// The pieces of each element of y, in order. A warp has one element.
template <ReduceOp op, class T, class V>
__global__ void __launch_bounds__(256) reduce_pieces_kernel(const V* partial, T* y, int64_t outputs, int64_t pieces, int64_t reduced) {
  using R = Reduction<op, V>;
  const int64_t out = (static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x) / kWarp;
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  if (out >= outputs) return;
  V sum = R::empty();
  for (int64_t i = lane; i < pieces; i += kWarp) sum = R()(sum, partial[i * outputs + out]);
  sum = over_warp(R(), sum);
  if (lane == 0) y[out] = narrowed<T>(R::finish(sum, reduced));
}

template <ReduceOp op, class T, class V>
Status reduce_as(const T* x, T* y, const ReducePlan& plan, void* workspace, int64_t workspace_bytes, cudaStream_t stream) {
  V* partial = plan.pieces > 1 ? static_cast<V*>(workspace) : nullptr;
  const int64_t wanted = plan.pieces > 1 ? plan.pieces * plan.outputs * static_cast<int64_t>(sizeof(V)) : 0;
  HALO_REQUIRE(workspace_bytes >= wanted, wanted << " bytes of workspace", workspace_bytes, "Ask reduce_workspace.");
  const auto pieces = static_cast<unsigned>(plan.pieces);
  if (plan.is_row) {
    const int64_t width = 16 / static_cast<int64_t>(sizeof(T)), rows = 256 / plan.row_threads;
    bool is_packed = plan.reduced_rank <= 1 && is_aligned(x, 16);
    for (int i = 0; i < plan.output_rank; ++i) is_packed = is_packed && plan.output_strides[i] % width == 0;
    HALO_RETURN_IF_ERROR(launch(reduce_rows_kernel<op, T, V>, dim3(grid_for(plan.outputs, rows), pieces),
                                dim3(static_cast<unsigned>(plan.row_threads), static_cast<unsigned>(rows)), 0, stream, x, y, partial, plan, is_packed));
  } else {
    // Unaligned tensors are summed in the same order, one output a thread.
    const bool is_wide = plan.width == 4 && is_aligned(x, 4 * static_cast<int64_t>(sizeof(T)));
    const auto kernel = is_wide ? reduce_columns_kernel<op, 4, T, V> : reduce_columns_kernel<op, 1, T, V>;
    HALO_RETURN_IF_ERROR(launch(kernel, dim3(grid_for(plan.outputs, kWarp * (is_wide ? 4 : 1)), pieces), dim3(kWarp, 8), 0, stream, x, y, partial, plan));
  }
  if (plan.pieces == 1) return {};
  return launch(reduce_pieces_kernel<op, T, V>, grid_for(plan.outputs, 8), 256, 0, stream, partial, y, plan.outputs, plan.pieces, plan.reduced);
}

}  // namespace halo::cuda
