#include "provider/kernels/movement.cuh"

namespace halo::cuda {

namespace {

constexpr int kThreads = 256;

/// A thread moves one element. `index`: its number along the axes that are left; count at most 2^30.
template <class T>
__global__ void __launch_bounds__(kThreads) strided_copy_kernel(const T* x, T* y, CopyPlan plan, uint32_t count) {
  uint32_t index = blockIdx.x * kThreads + threadIdx.x;
  if (index >= count) return;
  int64_t x_at = 0, y_at = 0;
  for (int i = 0; i < plan.rank; ++i) {
    const uint32_t quotient = i == plan.rank - 1 ? 0 : plan.sizes[i].quotient(index);
    const uint32_t coordinate = index - quotient * plan.sizes[i].divisor;
    x_at += coordinate * plan.x_strides[i];
    y_at += coordinate * plan.y_strides[i];
    index = quotient;
  }
  y[y_at] = x[x_at];
}

constexpr int kTile = 32, kRows = 8;

/// Where the tiles of the `other`-th combination of the remaining axes begin.
__device__ inline void bases_of(const CopyPlan& plan, int across, uint32_t other, int64_t* x_base, int64_t* y_base) {
  for (int i = 1; i < plan.rank; ++i) {
    if (i == across) continue;
    const uint32_t quotient = plan.sizes[i].quotient(other), coordinate = other - quotient * plan.sizes[i].divisor;
    *x_base += coordinate * plan.x_strides[i];
    *y_base += coordinate * plan.y_strides[i];
    other = quotient;
  }
}

/// x's neighbours lie along axis `across` of the plan, y's along axis 0: a block turns a tile of 32 x 32 in shared memory, so that both sides move
/// neighbours. Reads and writes each element once; bound by memory. grid: (tiles of axis 0 x tiles of `across`, other axes).
template <class T>
__global__ void __launch_bounds__(kTile* kRows) transpose_kernel(const T* x, T* y, CopyPlan plan, int across, uint32_t tiles_inner, uint32_t others) {
  __shared__ T tile[kTile][kTile + 1];
  const int64_t inner_at = static_cast<int64_t>(blockIdx.x % tiles_inner) * kTile, across_at = static_cast<int64_t>(blockIdx.x / tiles_inner) * kTile;
  for (uint32_t other = blockIdx.y; other < others; other += gridDim.y) {
    int64_t x_base = 0, y_base = 0;
    bases_of(plan, across, other, &x_base, &y_base);
    for (int i = static_cast<int>(threadIdx.y); i < kTile; i += kRows) {
      const int64_t a = across_at + threadIdx.x, b = inner_at + i;
      if (a < plan.counts[across] && b < plan.counts[0]) tile[i][threadIdx.x] = x[x_base + a * plan.x_strides[across] + b * plan.x_strides[0]];
    }
    __syncthreads();
    for (int i = static_cast<int>(threadIdx.y); i < kTile; i += kRows) {
      const int64_t a = across_at + i, b = inner_at + threadIdx.x;
      if (a < plan.counts[across] && b < plan.counts[0]) y[y_base + a * plan.y_strides[across] + b * plan.y_strides[0]] = tile[threadIdx.x][i];
    }
    __syncthreads();
  }
}

/// Elements along each side of a tile that is moved 16 bytes a thread and step.
constexpr int kWideTile = 64;

/// As transpose_kernel for elements of at most 4 bytes where both sides are whole packs of 16 bytes. Rows of the tile begin in different banks: a warp's words
/// of a pack fall into all of them, its elements of a column twice into each.
template <class T>
__global__ void __launch_bounds__(kThreads) transpose_packs_kernel(const T* x, T* y, CopyPlan plan, int across, uint32_t tiles_inner, uint32_t others) {
  constexpr int kWidth = 16 / static_cast<int>(sizeof(T)), kWord = 4 / static_cast<int>(sizeof(T)), kPacks = kWideTile / kWidth;
  constexpr int kSteps = kWideTile * kPacks / kThreads;
  alignas(4) __shared__ T tile[kWideTile][kWideTile + kWord];
  const int64_t inner_at = static_cast<int64_t>(blockIdx.x % tiles_inner) * kWideTile, across_at = static_cast<int64_t>(blockIdx.x / tiles_inner) * kWideTile;
  for (uint32_t other = blockIdx.y; other < others; other += gridDim.y) {
    int64_t x_base = 0, y_base = 0;
    bases_of(plan, across, other, &x_base, &y_base);
    Pack<T, kWidth> packs[kSteps];
#pragma unroll
    for (int n = 0; n < kSteps; ++n) {
      const int i = static_cast<int>(threadIdx.x) + n * kThreads;
      const int64_t a = across_at + i % kPacks * kWidth, b = inner_at + i / kPacks;
      if (a < plan.counts[across] && b < plan.counts[0]) packs[n] = *reinterpret_cast<const Pack<T, kWidth>*>(x + x_base + a + b * plan.x_strides[0]);
    }
#pragma unroll
    for (int n = 0; n < kSteps; ++n) {
      const int i = static_cast<int>(threadIdx.x) + n * kThreads;
#pragma unroll
      for (int e = 0; e < kWidth; e += kWord) {
        Pack<T, kWord> word;
#pragma unroll
        for (int w = 0; w < kWord; ++w) word.values[w] = packs[n].values[e + w];
        *reinterpret_cast<Pack<T, kWord>*>(&tile[i / kPacks][i % kPacks * kWidth + e]) = word;
      }
    }
    __syncthreads();
#pragma unroll
    for (int n = 0; n < kSteps; ++n) {
      const int i = static_cast<int>(threadIdx.x) + n * kThreads, from = i % kPacks * kWidth;
      const int64_t a = across_at + i / kPacks, b = inner_at + from;
      Pack<T, kWidth> pack;
#pragma unroll
      for (int e = 0; e < kWidth; ++e) pack.values[e] = tile[from + e][i / kPacks];
      if (a < plan.counts[across] && b < plan.counts[0]) *reinterpret_cast<Pack<T, kWidth>*>(y + y_base + a * plan.y_strides[across] + b) = pack;
    }
    __syncthreads();
  }
}

/// Whether both sides of a tile are packs of 16 bytes: neighbours as many as whole packs, and everything else whole packs apart.
template <class T>
bool has_packs(const T* x, const T* y, const CopyPlan& plan, int across) {
  constexpr int64_t kWidth = 16 / static_cast<int64_t>(sizeof(T));
  bool whole = is_aligned(x, 16) && is_aligned(y, 16) && plan.counts[0] % kWidth == 0 && plan.counts[across] % kWidth == 0;
  for (int i = 0; i < plan.rank; ++i) {
    whole = whole && (i == across || plan.x_strides[i] % kWidth == 0) && (i == 0 || plan.y_strides[i] % kWidth == 0);
  }
  return whole;
}

/// The axis along which x has its neighbours, where that is not the innermost; 0 where a tile would gain nothing.
int axis_across(const CopyPlan& plan) {
  if (plan.y_strides[0] != 1 || plan.x_strides[0] == 1 || plan.x_strides[0] == 0 || plan.counts[0] < 8) return 0;
  for (int i = 1; i < plan.rank; ++i) {
    if (plan.x_strides[i] == 1 && plan.counts[i] >= 8) return i;
  }
  return 0;
}

template <class T>
Status run(const T* x, T* y, const CopyPlan& plan, cudaStream_t stream) {
  constexpr int64_t kMost = int64_t{1} << 30;
  if (const int across = axis_across(plan); across > 0) {
    const auto run_tiles = [&](auto kernel, int64_t side, dim3 threads) {
      const int64_t tiles_inner = ceil_div(plan.counts[0], side), tiles = tiles_inner * ceil_div(plan.counts[across], side);
      const int64_t others = plan.count / (plan.counts[0] * plan.counts[across]);
      HALO_REQUIRE(tiles <= kMost && others <= kMost, "at most " << kMost << " tiles of " << side << " x " << side << ", and as many slices of them",
                   tiles << " and " << others, "Reshape the tensor.");
      return launch(kernel, dim3(static_cast<unsigned>(tiles), static_cast<unsigned>(std::min<int64_t>(others, 65535))), threads, 0, stream, x, y, plan, across,
                    static_cast<uint32_t>(tiles_inner), static_cast<uint32_t>(others));
    };
    if constexpr (sizeof(T) <= 4) {
      if (has_packs(x, y, plan, across)) return run_tiles(transpose_packs_kernel<T>, kWideTile, dim3(kThreads));
    }
    return run_tiles(transpose_kernel<T>, kTile, dim3(kTile, kRows));
  }
  if (plan.count <= kMost) {
    return launch(strided_copy_kernel<T>, grid_for(plan.count, kThreads), kThreads, 0, stream, x, y, plan, static_cast<uint32_t>(plan.count));
  }
  // Cut along the outermost axis until the numbers fit in 32 bits.
  const int last = plan.rank - 1;
  HALO_REQUIRE(plan.counts[last] >= 2, "an outermost axis that can be cut, so that a piece has at most " << kMost << " elements", plan.count,
               "Reshape the tensor.");
  CopyPlan low = plan, high = plan;
  low.counts[last] = plan.counts[last] / 2;
  high.counts[last] = plan.counts[last] - low.counts[last];
  low.count = plan.count / plan.counts[last] * low.counts[last];
  high.count = plan.count - low.count;
  low.sizes[last] = Divider(std::min(low.counts[last], kMost));
  high.sizes[last] = Divider(std::min(high.counts[last], kMost));
  HALO_RETURN_IF_ERROR(run(x, y, low, stream));
  return run(x + low.counts[last] * plan.x_strides[last], y + low.counts[last] * plan.y_strides[last], high, stream);
}

PerAxis dense_strides(const Dims& dims) {
  PerAxis strides;
  int64_t stride = 1;
  for (int axis = dims.rank - 1; axis >= 0; --axis) {
    strides.values[axis] = stride;
    stride *= dims.sizes[axis];
  }
  return strides;
}

const void* moved(const void* pointer, int64_t bytes) { return static_cast<const char*>(pointer) + bytes; }

void* moved(void* pointer, int64_t bytes) { return static_cast<char*>(pointer) + bytes; }

}  // namespace

Status strided_copy(int64_t element_size, const void* x, const PerAxis& x_strides, void* y, const PerAxis& y_strides, const Dims& dims, cudaStream_t stream) {
  if (dims.count() == 0) return {};
  const CopyPlan plan = plan_copy(element_size, x, x_strides, y, y_strides, dims);
  return dispatch_wide(plan.element_size, [&]<class T>() { return run(static_cast<const T*>(x), static_cast<T*>(y), plan, stream); });
}

Status transpose(int64_t element_size, const void* x, const Dims& x_dims, const PerAxis& permutation, void* y, cudaStream_t stream) {
  const PerAxis strides = dense_strides(x_dims);
  PerAxis x_strides;
  Dims y_dims{.rank = x_dims.rank};
  for (int axis = 0; axis < x_dims.rank; ++axis) {
    const int64_t from = permutation.values[axis];
    HALO_REQUIRE(from >= 0 && from < x_dims.rank, "a permutation of " << x_dims.rank << " axes", from, "Check the graph.");
    y_dims.sizes[axis] = x_dims.sizes[from];
    x_strides.values[axis] = strides.values[from];
  }
  return strided_copy(element_size, x, x_strides, y, dense_strides(y_dims), y_dims, stream);
}

Status expand(int64_t element_size, const void* x, const Dims& x_dims, void* y, const Dims& y_dims, cudaStream_t stream) {
  HALO_REQUIRE(x_dims.rank <= y_dims.rank, "sizes of at least " << x_dims.rank << " axes", y_dims.rank, "Check the graph.");
  const PerAxis strides = dense_strides(x_dims);
  PerAxis x_strides;
  for (int axis = 0; axis < x_dims.rank; ++axis) {
    const int to = axis + y_dims.rank - x_dims.rank;
    HALO_REQUIRE(x_dims.sizes[axis] == 1 || x_dims.sizes[axis] == y_dims.sizes[to], "size 1 or " << y_dims.sizes[to], x_dims.sizes[axis],
                 "Check the operands.");
    x_strides.values[to] = x_dims.sizes[axis] == 1 ? 0 : strides.values[axis];
  }
  return strided_copy(element_size, x, x_strides, y, dense_strides(y_dims), y_dims, stream);
}

Status slice(int64_t element_size, const void* x, const Dims& x_dims, const PerAxis& starts, const PerAxis& steps, void* y, const Dims& y_dims,
             cudaStream_t stream) {
  HALO_REQUIRE(x_dims.rank == y_dims.rank, "as many axes as x has, " << x_dims.rank, y_dims.rank, "Check the graph.");
  const PerAxis strides = dense_strides(x_dims);
  PerAxis x_strides;
  int64_t first = 0;
  for (int axis = 0; axis < x_dims.rank; ++axis) {
    const int64_t last = starts.values[axis] + (y_dims.sizes[axis] - 1) * steps.values[axis];
    const bool is_inside = starts.values[axis] >= 0 && starts.values[axis] < x_dims.sizes[axis] && last >= 0 && last < x_dims.sizes[axis];
    HALO_REQUIRE(y_dims.count() == 0 || is_inside, "a slice of [0, " << x_dims.sizes[axis] << ")", starts.values[axis] << " to " << last, "Check the graph.");
    first += starts.values[axis] * strides.values[axis];
    x_strides.values[axis] = strides.values[axis] * steps.values[axis];
  }
  return strided_copy(element_size, moved(x, first * element_size), x_strides, y, dense_strides(y_dims), y_dims, stream);
}

Status concat(int64_t element_size, const void* const* inputs, const int64_t* axis_sizes, int64_t inputs_count, int axis, void* y, const Dims& y_dims,
              cudaStream_t stream) {
  const PerAxis y_strides = dense_strides(y_dims);
  int64_t at = 0;
  for (int64_t i = 0; i < inputs_count; ++i) {
    Dims dims = y_dims;
    dims.sizes[axis] = axis_sizes[i];
    void* to = moved(y, at * y_strides.values[axis] * element_size);
    HALO_RETURN_IF_ERROR(strided_copy(element_size, inputs[i], dense_strides(dims), to, y_strides, dims, stream));
    at += axis_sizes[i];
  }
  HALO_REQUIRE(at == y_dims.sizes[axis], "inputs that sum to " << y_dims.sizes[axis], at, "Check the graph.");
  return {};
}

Status split(int64_t element_size, const void* x, const Dims& x_dims, int axis, void* const* outputs, const int64_t* axis_sizes, int64_t outputs_count,
             cudaStream_t stream) {
  const PerAxis x_strides = dense_strides(x_dims);
  int64_t at = 0;
  for (int64_t i = 0; i < outputs_count; ++i) {
    Dims dims = x_dims;
    dims.sizes[axis] = axis_sizes[i];
    const void* from = moved(x, at * x_strides.values[axis] * element_size);
    if (outputs[i] != nullptr) HALO_RETURN_IF_ERROR(strided_copy(element_size, from, x_strides, outputs[i], dense_strides(dims), dims, stream));
    at += axis_sizes[i];
  }
  HALO_REQUIRE(at == x_dims.sizes[axis], "outputs that sum to " << x_dims.sizes[axis], at, "Check the graph.");
  return {};
}

Status tile(int64_t element_size, const void* x, const Dims& x_dims, void* y, const Dims& y_dims, cudaStream_t stream) {
  HALO_REQUIRE(x_dims.rank == y_dims.rank, "as many axes as x has, " << x_dims.rank, y_dims.rank, "Check the graph.");
  // The copies of one repeat; axes of the first repeat alone are as they are.
  const PerAxis x_strides = dense_strides(x_dims), y_strides = dense_strides(y_dims);
  int64_t repeats[kMaxRank], copies = 1;
  for (int axis = 0; axis < x_dims.rank; ++axis) {
    if (x_dims.sizes[axis] == 0 && y_dims.count() == 0) return {};
    HALO_REQUIRE(x_dims.sizes[axis] > 0 && y_dims.sizes[axis] % x_dims.sizes[axis] == 0, "a multiple of size " << x_dims.sizes[axis], y_dims.sizes[axis],
                 "Check the graph.");
    repeats[axis] = y_dims.sizes[axis] / x_dims.sizes[axis];
    copies *= repeats[axis];
  }
  // An axis of size 1 is broadcast; what is left is one copy for each repeat.
  Dims dims = x_dims;
  PerAxis from = x_strides;
  for (int axis = 0; axis < x_dims.rank; ++axis) {
    if (x_dims.sizes[axis] != 1) continue;
    dims.sizes[axis] = repeats[axis];
    from.values[axis] = 0;
    copies /= std::max<int64_t>(1, repeats[axis]);
    repeats[axis] = repeats[axis] == 0 ? 0 : 1;
  }
  for (int64_t n = 0; n < copies; ++n) {
    int64_t rest = n, at = 0;
    for (int axis = x_dims.rank - 1; axis >= 0; --axis) {
      at += rest % repeats[axis] * x_dims.sizes[axis] * y_strides.values[axis];
      rest /= repeats[axis];
    }
    HALO_RETURN_IF_ERROR(strided_copy(element_size, x, from, moved(y, at * element_size), y_strides, dims, stream));
  }
  return {};
}

}  // namespace halo::cuda
