#include "ops/rms_norm_grad/rms_norm_grad.h"

#include "provider/kernels/absolute_max.cuh"
#include "provider/kernels/words.cuh"

namespace halo {

namespace {

/// What a block has: threads at most, packs of a row for each, and how many such blocks registers of a multiprocessor must suffice for. Blocks load, wait for
/// each other's sums and store by turns, so that the fewer threads a row takes, the more rows must be under way.
template <int threads, int packs, int blocks>
struct BlockForm {
  static constexpr int kThreads = threads, kPacks = packs, kBlocks = blocks;
  /// Columns of 16 bits.
  static constexpr int64_t columns() { return int64_t{threads} * packs * cuda::kRowWidth<BFloat16>; }
};

using Short = BlockForm<64, 3, 7>;
using Middle = BlockForm<64, 4, 6>;
using Wide = BlockForm<128, 4, 3>;
using Widest = BlockForm<512, 4, 1>;

/// Threads of a block whose rows are longer than registers hold.
constexpr int kLongThreads = 256;

/// Shared memory beside the sums: what a sum over a block takes.
constexpr int64_t kScratchBytes = cuda::kWarp * static_cast<int64_t>(sizeof(float));

/// Multiprocessors, of a large GPU most, that have all of their blocks.
constexpr int64_t kProcessors = 128;

/// Blocks, each with a sum of the weight's gradient: as many on any GPU, so that sums have the same bits.
int64_t pieces_of(int64_t rows, int64_t columns) {
  const int blocks = columns <= Short::columns() ? Short::kBlocks : (columns <= Middle::columns() ? Middle::kBlocks : Wide::kBlocks);
  return std::clamp<int64_t>(rows, 1, kProcessors * blocks);
}

/// What the kernels read and write.
template <class T>
struct Tensors {
  const T *dy, *x, *weight;
  const float* inv_rms;
  const T* addend;  // or null
  T* dx;
  float *partial, *absmax;  // absmax or null
  int64_t rows, columns;
  bool is_packed;
};

/// A block has every gridDim.x-th row. A thread has at most kPacks packs of a row, and the sums of their columns, in registers. Reads dY, X and the addend
/// once and writes dX once; bound by memory.
template <class Form, class T>
__global__ void __launch_bounds__(Form::kThreads, Form::kBlocks) rms_norm_grad_kernel(const Tensors<T> t) {
  constexpr int kWidth = cuda::kRowWidth<T>, kPacks = Form::kPacks;
  __shared__ float scratch[cuda::kWarp];
  cuda::Words<T> weights[kPacks], errors[kPacks], values[kPacks];  // 0 behind the end of a row
  float sums[kPacks][kWidth] = {};
  int lengths[kPacks];  // columns of the pack within the row, 0 or less behind its end
  int64_t at[kPacks];
#pragma unroll
  for (int n = 0; n < kPacks; ++n) {
    at[n] = (static_cast<int64_t>(n) * blockDim.x + threadIdx.x) * kWidth;
    lengths[n] = t.columns - at[n] < kWidth ? static_cast<int>(t.columns - at[n]) : kWidth;
  }
  const auto load = [&](const T* row, cuda::Words<T>(&packs)[kPacks]) {
#pragma unroll
    for (int n = 0; n < kPacks; ++n) {
      if (lengths[n] > 0) packs[n].load(row + at[n], t.is_packed && lengths[n] == kWidth, lengths[n]);
    }
  };
  load(t.weight, weights);
  uint32_t largest = 0;
  for (int64_t row = blockIdx.x; row < t.rows; row += gridDim.x) {
    load(t.dy + row * t.columns, errors);
    load(t.x + row * t.columns, values);
    const float scale = t.inv_rms[row];
    float dot = 0;
#pragma unroll
    for (int n = 0; n < kPacks; ++n) {
#pragma unroll
      for (int i = 0; i < kWidth; ++i) dot += errors[n].number(i) * weights[n].number(i) * (values[n].number(i) * scale);
    }
    cuda::Words<T> added[kPacks];
    if (t.addend != nullptr) load(t.addend + row * t.columns, added);
    const float mean = cuda::over_block(cuda::SumOf(), dot, 0.0f, scratch) / static_cast<float>(t.columns);
#pragma unroll
    for (int n = 0; n < kPacks; ++n) {
      cuda::Words<T> results;
#pragma unroll
      for (int i = 0; i < kWidth; ++i) {
        const float error = errors[n].number(i), normal = values[n].number(i) * scale;
        const T gradient = from_float<T>(scale * (error * weights[n].number(i) - normal * mean) + added[n].number(i));
        results.set(i, gradient);
        sums[n][i] += error * normal;
        if (t.absmax != nullptr && i < lengths[n]) largest = cuda::LargerOf()(largest, cuda::magnitude_of(gradient));
      }
      if (lengths[n] > 0) results.store(t.dx + row * t.columns + at[n], t.is_packed && lengths[n] == kWidth, lengths[n]);
    }
  }
#pragma unroll
  for (int n = 0; n < kPacks; ++n) {
    if (lengths[n] > 0) cuda::store_pack<kWidth>(t.partial + blockIdx.x * t.columns + at[n], false, lengths[n], sums[n]);
  }
  if (t.absmax != nullptr) cuda::raise_absolute_max(largest, t.absmax, reinterpret_cast<uint32_t*>(scratch));
}

/// The same for rows longer than registers hold: sums of columns in shared memory, one thread's each, and a row read twice, the second time from cache.
/// `at`: first column of a pack, `length`: its columns within the row, 1 to kWidth.
template <class T>
__global__ void __launch_bounds__(kLongThreads) rms_norm_grad_long_kernel(const Tensors<T> t) {
  constexpr int kWidth = cuda::kRowWidth<T>;
  __shared__ float scratch[cuda::kWarp];
  auto* sums = cuda::dynamic_shared<float>();
  cuda::for_packs<T>(t.columns, t.is_packed, [&](int64_t at, int length, bool) {
    for (int i = 0; i < length; ++i) sums[at + i] = 0.0f;
  });
  uint32_t largest = 0;
  for (int64_t row = blockIdx.x; row < t.rows; row += gridDim.x) {
    const T *errors = t.dy + row * t.columns, *in = t.x + row * t.columns;
    T* out = t.dx + row * t.columns;
    const float scale = t.inv_rms[row];
    T e[kWidth], v[kWidth], w[kWidth], added[kWidth] = {}, results[kWidth];
    const auto load = [&](int64_t at, int length, bool is_whole) {
      cuda::load_pack<kWidth>(errors, at, 1, is_whole, length, e);
      cuda::load_pack<kWidth>(in, at, 1, is_whole, length, v);
      cuda::load_pack<kWidth>(t.weight, at, 1, is_whole, length, w);
    };
    float dot = 0;
    cuda::for_packs<T>(t.columns, t.is_packed, [&](int64_t at, int length, bool is_whole) {
      load(at, length, is_whole);
#pragma unroll
      for (int i = 0; i < kWidth; ++i) dot += i < length ? to_float(e[i]) * to_float(w[i]) * (to_float(v[i]) * scale) : 0.0f;
    });
    const float mean = cuda::over_block(cuda::SumOf(), dot, 0.0f, scratch) / static_cast<float>(t.columns);
    cuda::for_packs<T>(t.columns, t.is_packed, [&](int64_t at, int length, bool is_whole) {
      load(at, length, is_whole);
      if (t.addend != nullptr) cuda::load_pack<kWidth>(t.addend + row * t.columns, at, 1, is_whole, length, added);
#pragma unroll
      for (int i = 0; i < kWidth; ++i) {
        if (i >= length) continue;
        const float error = to_float(e[i]), n = to_float(v[i]) * scale;
        results[i] = from_float<T>(scale * (error * to_float(w[i]) - n * mean) + to_float(added[i]));
        sums[at + i] += error * n;
        largest = cuda::LargerOf()(largest, cuda::magnitude_of(results[i]));
      }
      cuda::store_pack<kWidth>(out + at, is_whole, length, results);
    });
  }
  cuda::for_packs<T>(t.columns, t.is_packed, [&](int64_t at, int length, bool) {
    for (int i = 0; i < length; ++i) t.partial[blockIdx.x * t.columns + at + i] = sums[at + i];
  });
  if (t.absmax != nullptr) cuda::raise_absolute_max(largest, t.absmax, reinterpret_cast<uint32_t*>(scratch));
}

/// Threads that share a column's pieces.
constexpr int kSumThreads = 32;

/// A block has 32 columns, kSumThreads threads each; the pieces are added in a fixed order.
template <class T>
__global__ void __launch_bounds__(cuda::kWarp* kSumThreads) sum_pieces_kernel(const float* partial, T* dweight, int64_t pieces, int64_t columns) {
  __shared__ float scratch[kSumThreads][cuda::kWarp];
  const int64_t column = static_cast<int64_t>(blockIdx.x) * cuda::kWarp + threadIdx.x;
  float sum = 0;
#pragma unroll 8
  for (int64_t piece = threadIdx.y; column < columns && piece < pieces; piece += kSumThreads) sum += partial[piece * columns + column];
  scratch[threadIdx.y][threadIdx.x] = sum;
  __syncthreads();
  if (threadIdx.y != 0 || column >= columns) return;
  for (int n = 1; n < kSumThreads; ++n) sum += scratch[n][threadIdx.x];
  dweight[column] = from_float<T>(sum);
}

/// The kernel for rows of this many columns, which `threads` of at most four packs have.
template <class T>
auto kernel_for(int64_t columns, unsigned threads) {
  if (threads <= Short::kThreads && columns <= int64_t{threads} * Short::kPacks * cuda::kRowWidth<T>) return rms_norm_grad_kernel<Short, T>;
  if (threads <= Middle::kThreads) return rms_norm_grad_kernel<Middle, T>;
  return threads <= Wide::kThreads ? rms_norm_grad_kernel<Wide, T> : rms_norm_grad_kernel<Widest, T>;
}

}  // namespace

int64_t rms_norm_grad_workspace_cuda(int64_t rows, int64_t columns) { return pieces_of(rows, columns) * columns * static_cast<int64_t>(sizeof(float)); }

Status rms_norm_grad_cuda(DType type, const void* dy, const void* x, const void* weight, const float* inv_rms, const void* addend, void* dx, void* dweight,
                          float* absmax, int64_t rows, int64_t columns, void* workspace, cudaStream_t stream) {
  const int64_t pieces = pieces_of(rows, columns);
  // Whole packs: the compiler reads them whole, also where the last is cut short.
  constexpr int64_t kWhole = 8;
  const int64_t shared_bytes = cuda::ceil_div(columns, kWhole) * kWhole * static_cast<int64_t>(sizeof(float));
  const int64_t most_columns = (cuda::most_shared_bytes() - kScratchBytes) / static_cast<int64_t>(sizeof(float)) / kWhole * kWhole;
  HALO_REQUIRE(columns <= most_columns, "at most " << most_columns << " columns, a float32 each in the shared memory of a block", columns,
               "Run this graph on the CPU: --device cpu.");
  HALO_RETURN_IF_ERROR(cuda::clear_absolute_max(absmax, stream));
  return cuda::dispatch_float(type, [&]<class T>() {
    const Tensors<T> t{.dy = static_cast<const T*>(dy),
                       .x = static_cast<const T*>(x),
                       .weight = static_cast<const T*>(weight),
                       .inv_rms = inv_rms,
                       .addend = static_cast<const T*>(addend),
                       .dx = static_cast<T*>(dx),
                       .partial = static_cast<float*>(workspace),
                       .absmax = absmax,
                       .rows = rows,
                       .columns = columns,
                       .is_packed = cuda::rows_are_packed<T>(columns, {dy, x, weight, addend, dx})};
    const auto blocks = static_cast<unsigned>(pieces), threads = cuda::threads_for_packs<T>(columns, Widest::kThreads);
    if (columns > static_cast<int64_t>(threads) * cuda::RowPacks<T>::kCount) {
      HALO_CUDA_RETURN_IF_ERROR(
          cudaFuncSetAttribute(rms_norm_grad_long_kernel<T>, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(shared_bytes)));
      HALO_RETURN_IF_ERROR(cuda::launch(rms_norm_grad_long_kernel<T>, blocks, kLongThreads, static_cast<size_t>(shared_bytes), stream, t));
    } else {
      HALO_RETURN_IF_ERROR(cuda::launch(kernel_for<T>(columns, threads), blocks, threads, 0, stream, t));
    }
    return cuda::launch(sum_pieces_kernel<T>, cuda::grid_for(columns, cuda::kWarp), dim3(cuda::kWarp, kSumThreads), 0, stream, t.partial,
                        static_cast<T*>(dweight), pieces, columns);
  });
}

}  // namespace halo
