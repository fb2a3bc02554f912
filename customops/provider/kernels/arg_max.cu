#include "provider/kernels/arg_max.h"

#include "provider/kernels/dependent_launch.cuh"
#include "provider/kernels/rows.cuh"

namespace halo::cuda {

namespace {

constexpr int kThreads = 256;

/// Columns of a piece: the logits of a vocabulary of 128k are 32 of them.
constexpr int64_t kPiece = 4096;

struct Largest {
  float value;
  int64_t column;  // -1: none yet
};

/// The larger, the first of equal ones; NaN goes before all, the first NaN before others.
struct LargestOf {
  __device__ static bool is_before(const Largest& a, const Largest& b) {
    if (b.column < 0 || a.column < 0) return b.column < 0;
    const bool a_is_nan = a.value != a.value, b_is_nan = b.value != b.value;
    if (a_is_nan || b_is_nan) return a_is_nan && (!b_is_nan || a.column < b.column);
    return a.value > b.value || (a.value == b.value && a.column < b.column);
  }
  __device__ Largest operator()(const Largest& a, const Largest& b) const { return is_before(a, b) ? a : b; }
};

__device__ Largest over_block(Largest own) {
  __shared__ float values[kThreads];
  __shared__ int64_t columns[kThreads];
  const int thread = static_cast<int>(threadIdx.x);
  values[thread] = own.value, columns[thread] = own.column;
  for (int half = kThreads / 2; half > 0; half /= 2) {
    __syncthreads();
    if (thread < half) {
      own = LargestOf()(own, {values[thread + half], columns[thread + half]});
      values[thread] = own.value, columns[thread] = own.column;
    }
  }
  return own;  // of thread 0
}

/// A block has a piece of a row, a thread neighbours kThreads apart. Reads x once.
template <class T>
__global__ void __launch_bounds__(kThreads) largest_of_piece_kernel(const T* x, int64_t columns, int64_t pieces, Largest* largest) {
  const int64_t row = blockIdx.y, start = static_cast<int64_t>(blockIdx.x) * kPiece, end = start + kPiece < columns ? start + kPiece : columns;
  Largest own{0, -1};
  let_next_start();
  wait_for_inputs();
#pragma unroll 4
  for (int64_t column = start + threadIdx.x; column < end; column += kThreads) own = LargestOf()(own, {to_float(x[row * columns + column]), column});
  own = over_block(own);
  if (threadIdx.x == 0) largest[row * pieces + blockIdx.x] = own;
}

/// A block has a row.
__global__ void __launch_bounds__(kThreads) join_largest_kernel(const Largest* largest, int64_t pieces, int64_t* y) {
  const int64_t row = blockIdx.x;
  Largest own{0, -1};
  let_next_start();
  wait_for_inputs();
  for (int64_t piece = threadIdx.x; piece < pieces; piece += kThreads) own = LargestOf()(own, largest[row * pieces + piece]);
  own = over_block(own);
  if (threadIdx.x == 0) y[row] = own.column;
}

}  // namespace

int64_t arg_max_workspace(int64_t rows, int64_t columns) { return rows * ceil_div(columns, kPiece) * static_cast<int64_t>(sizeof(Largest)); }

Status arg_max(DType type, const void* x, int64_t* y, int64_t rows, int64_t columns, void* workspace, cudaStream_t stream) {
  HALO_REQUIRE(columns > 0 && rows <= kMostBlocksYZ, "1 or more columns and at most " << kMostBlocksYZ << " rows", rows << " x " << columns,
               "Take fewer rows.");
  const int64_t pieces = ceil_div(columns, kPiece);
  auto* largest = static_cast<Largest*>(workspace);
  HALO_RETURN_IF_ERROR(dispatch_float(type, [&]<class T>() {
    return launch_dependent(largest_of_piece_kernel<T>, dim3(static_cast<unsigned>(pieces), static_cast<unsigned>(rows)), kThreads, 0, stream,
                            static_cast<const T*>(x), columns, pieces, largest);
  }));
  return launch_dependent(join_largest_kernel, static_cast<unsigned>(rows), kThreads, 0, stream, largest, pieces, y);
}

}  // namespace halo::cuda
