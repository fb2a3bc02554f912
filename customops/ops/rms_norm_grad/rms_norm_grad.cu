#include "ops/rms_norm_grad/rms_norm_grad.h"

#include "provider/kernels/rows.cuh"

namespace halo {

namespace {

constexpr int kMostThreads = 256;

/// Shared memory beside the sums: what a sum over a block takes.
constexpr int64_t kScratchBytes = cuda::kWarp * static_cast<int64_t>(sizeof(float));

/// Enough pieces for the multiprocessors of any one GPU, few enough that adding them costs little.
constexpr int64_t kMostPieces = 512;

int64_t pieces_of(int64_t rows) { return std::clamp<int64_t>(rows, 1, kMostPieces); }

/// A block has a piece of the rows, and a sum for each column in shared memory that one thread owns. A row is read twice, the second time from cache.
/// `at`: first column of a pack, `length`: its columns within the row, 1 to kWidth.
template <class T>
__global__ void __launch_bounds__(kMostThreads) rms_norm_grad_kernel(const T* dy, const T* x, const T* weight, const float* inv_rms, T* dx, float* partial,
                                                                     int64_t rows, int64_t columns, int64_t piece, bool is_packed) {
  constexpr int kWidth = cuda::kRowWidth<T>;
  __shared__ float scratch[cuda::kWarp];
  auto* sums = cuda::dynamic_shared<float>();
  cuda::for_packs<T>(columns, is_packed, [&](int64_t at, int length, bool) {
    for (int i = 0; i < length; ++i) sums[at + i] = 0.0f;
  });
  const int64_t begin = blockIdx.x * piece, end = begin + piece < rows ? begin + piece : rows;
  for (int64_t row = begin; row < end; ++row) {
    const T *errors = dy + row * columns, *in = x + row * columns;
    T* out = dx + row * columns;
    const float scale = inv_rms[row];
    T e[kWidth], v[kWidth], w[kWidth], results[kWidth];
    const auto load = [&](int64_t at, int length, bool is_whole) {
      cuda::load_pack<kWidth>(errors, at, 1, is_whole, length, e);
      cuda::load_pack<kWidth>(in, at, 1, is_whole, length, v);
      cuda::load_pack<kWidth>(weight, at, 1, is_whole, length, w);
    };
    float dot = 0;
    cuda::for_packs<T>(columns, is_packed, [&](int64_t at, int length, bool is_whole) {
      load(at, length, is_whole);
#pragma unroll
      for (int i = 0; i < kWidth; ++i) dot += i < length ? to_float(e[i]) * to_float(w[i]) * (to_float(v[i]) * scale) : 0.0f;
    });
    const float mean = cuda::over_block(cuda::SumOf(), dot, 0.0f, scratch) / static_cast<float>(columns);
    cuda::for_packs<T>(columns, is_packed, [&](int64_t at, int length, bool is_whole) {
      load(at, length, is_whole);
#pragma unroll
      for (int i = 0; i < kWidth; ++i) {
        if (i >= length) continue;
        const float error = to_float(e[i]), n = to_float(v[i]) * scale;
        results[i] = from_float<T>(scale * (error * to_float(w[i]) - n * mean));
        sums[at + i] += error * n;
      }
      cuda::store_pack<kWidth>(out + at, is_whole, length, results);
    });
  }
  cuda::for_packs<T>(columns, is_packed, [&](int64_t at, int length, bool) {
    for (int i = 0; i < length; ++i) partial[blockIdx.x * columns + at + i] = sums[at + i];
  });
}

/// A block has 32 columns, 8 threads each; the pieces are added in a fixed order.
template <class T>
__global__ void __launch_bounds__(256) sum_pieces_kernel(const float* partial, T* dweight, int64_t pieces, int64_t columns) {
  __shared__ float scratch[8][cuda::kWarp];
  const int64_t column = static_cast<int64_t>(blockIdx.x) * cuda::kWarp + threadIdx.x;
  float sum = 0;
  for (int64_t piece = threadIdx.y; column < columns && piece < pieces; piece += 8) sum += partial[piece * columns + column];
  scratch[threadIdx.y][threadIdx.x] = sum;
  __syncthreads();
  if (threadIdx.y != 0 || column >= columns) return;
  for (int n = 1; n < 8; ++n) sum += scratch[n][threadIdx.x];
  dweight[column] = from_float<T>(sum);
}

}  // namespace

int64_t rms_norm_grad_workspace_cuda(int64_t rows, int64_t columns) { return pieces_of(rows) * columns * static_cast<int64_t>(sizeof(float)); }

Status rms_norm_grad_cuda(DType type, const void* dy, const void* x, const void* weight, const float* inv_rms, void* dx, void* dweight, int64_t rows,
                          int64_t columns, void* workspace, cudaStream_t stream) {
  auto* partial = static_cast<float*>(workspace);
  const int64_t piece = cuda::ceil_div(rows, pieces_of(rows)), pieces = piece > 0 ? cuda::ceil_div(rows, piece) : 0;
  // Whole packs: the compiler reads them whole, also where the last is cut short.
  constexpr int64_t kWhole = 8;
  const int64_t shared_bytes = cuda::ceil_div(columns, kWhole) * kWhole * static_cast<int64_t>(sizeof(float));
  const int64_t most_columns = (cuda::most_shared_bytes() - kScratchBytes) / static_cast<int64_t>(sizeof(float)) / kWhole * kWhole;
  HALO_REQUIRE(columns <= most_columns, "at most " << most_columns << " columns, a float32 each in the shared memory of a block", columns,
               "Run this graph on the CPU: --device cpu.");
  return cuda::dispatch_float(type, [&]<class T>() {
    HALO_CUDA_RETURN_IF_ERROR(cudaFuncSetAttribute(rms_norm_grad_kernel<T>, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(shared_bytes)));
    HALO_RETURN_IF_ERROR(cuda::launch(rms_norm_grad_kernel<T>, static_cast<unsigned>(pieces), cuda::threads_for_row<T>(columns, kMostThreads),
                                      static_cast<size_t>(shared_bytes), stream, static_cast<const T*>(dy), static_cast<const T*>(x),
                                      static_cast<const T*>(weight), inv_rms, static_cast<T*>(dx), partial, rows, columns, piece,
                                      cuda::rows_are_packed<T>(columns, {dy, x, weight, dx})));
    return cuda::launch(sum_pieces_kernel<T>, cuda::grid_for(columns, cuda::kWarp), dim3(cuda::kWarp, 8), 0, stream, partial, static_cast<T*>(dweight), pieces,
                        columns);
  });
}

}  // namespace halo
