#include "ops/linear_cross_entropy/linear_cross_entropy.h"

#include "ops/cross_entropy/cross_entropy.h"
#include "ops/cross_entropy_grad/cross_entropy_grad.h"
#include "provider/kernels/exponentials.cuh"
#include "provider/kernels/words.cuh"

namespace halo {

namespace {

/// A multiprocessor has one block of so many threads: 132 rows of 256 KB (a vocabulary of 128k in 16 bits) stay in L2 until they are read again.
constexpr int kMostThreads = 1024;

/// e^x to 2^-22 for 16-bit results: the special function unit, in place of ten instructions.
template <class T>
__device__ float exponential(float x) {
#ifndef HALO_CUDA_EMULATED
  if constexpr (sizeof(T) == 2) {
    constexpr float kLog2E = 1.44269504f;
    float result;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(x * kLog2E));
    return result;
  }
#endif
  return expf(x);
}

/// Calls f(packs, their first columns, how many columns of each lie within the row) for this thread's steps along a row, kRowPacks packs at a time; elements
/// behind the row's end are -Inf. With `packed` all packs of a row are whole.
template <bool packed, class T, class F>
__device__ void for_logits(const T* row, int64_t classes, F&& f) {
  constexpr int kWidth = cuda::kRowWidth<T>, kPacks = cuda::kRowPacks;
  for (int64_t first = static_cast<int64_t>(threadIdx.x) * kWidth; first < classes; first += static_cast<int64_t>(blockDim.x) * kWidth * kPacks) {
    cuda::Words<T> packs[kPacks];
    int64_t at[kPacks];
    int lengths[kPacks];
#pragma unroll
    for (int n = 0; n < kPacks; ++n) {
      at[n] = first + static_cast<int64_t>(n) * blockDim.x * kWidth;
      lengths[n] = classes - at[n] < kWidth ? static_cast<int>(classes - at[n]) : kWidth;
#pragma unroll
      for (int i = 0; i < kWidth; ++i) packs[n].set(i, from_float<T>(-std::numeric_limits<float>::infinity()));
      if (lengths[n] > 0) packs[n].load(row + at[n], packed, lengths[n]);
    }
    f(packs, at, lengths);
  }
}

/// A block has a row of logits and writes its gradient over it. Reads each element twice, the second time from L2, and writes it once; bound by memory.
template <bool packed, class T>
__global__ void __launch_bounds__(kMostThreads) loss_and_gradient_kernel(const float* dloss, T* logits, const int64_t* labels, double* row_losses,
                                                                         int64_t classes, int64_t ignored, const double* counted) {
  constexpr int kWidth = cuda::kRowWidth<T>, kPacks = cuda::kRowPacks;
  __shared__ float scratch[cuda::kWarp];
  T* x = logits + static_cast<int64_t>(blockIdx.x) * classes;
  const int64_t label = labels[blockIdx.x];
  const bool is_ignored = label == ignored, is_class = label >= 0 && label < classes;
  const float at_label = is_class ? to_float(x[label]) : std::numeric_limits<float>::quiet_NaN();
  float sum = 0;
  if (!is_ignored) {
    cuda::Exponentials<float> thread_sum;
    for_logits<packed>(x, classes, [&](const cuda::Words<T>(&packs)[kPacks], const int64_t(&)[kPacks], const int(&)[kPacks]) {
      float max = thread_sum.max;
#pragma unroll
      for (int i = 0; i < kPacks * kWidth; ++i) max = fmaxf(max, packs[i / kWidth].number(i % kWidth));  // a NaN reaches the sum
      const float shift = max == -std::numeric_limits<float>::infinity() ? 0.0f : max;
      if (max != thread_sum.max) thread_sum = {max, thread_sum.sum * exponential<T>(thread_sum.max - shift)};
#pragma unroll
      for (int i = 0; i < kPacks * kWidth; ++i) thread_sum.sum += exponential<T>(packs[i / kWidth].number(i % kWidth) - shift);
    });
    // Barriers within: all threads have read the label's logit when the first one writes.
    sum = cuda::logarithm_of(cuda::merged_over_block(thread_sum, scratch));
  }
  if (threadIdx.x == 0) row_losses[blockIdx.x] = is_ignored ? 0.0 : static_cast<double>(sum) - static_cast<double>(at_label);
  const float scale = is_class ? static_cast<float>(static_cast<double>(*dloss) / *counted) : std::numeric_limits<float>::quiet_NaN();
  if (is_ignored) {
    cuda::for_packs<T>(classes, packed, [&](int64_t at, int length, bool is_whole) {
      T zeros[kWidth];
#pragma unroll
      for (int i = 0; i < kWidth; ++i) zeros[i] = from_float<T>(0.0f);
      cuda::store_pack<kWidth>(x + at, is_whole, length, zeros);
    });
    return;
  }
  for_logits<packed>(x, classes, [&](const cuda::Words<T>(&packs)[kPacks], const int64_t(&at)[kPacks], const int(&lengths)[kPacks]) {
#pragma unroll
    for (int n = 0; n < kPacks; ++n) {
      if (lengths[n] <= 0) continue;
      cuda::Words<T> gradient;
#pragma unroll
      for (int i = 0; i < kWidth; ++i) gradient.set(i, from_float<T>(exponential<T>(packs[n].number(i) - sum) * scale));
      gradient.store(x + at[n], packed, lengths[n]);
    }
  });
  // By the thread that has the label's pack, behind its own store.
  if (is_class && label / kWidth % blockDim.x == threadIdx.x) x[label] = from_float<T>((exponential<T>(at_label - sum) - 1.0f) * scale);
}

int64_t aligned(int64_t bytes) { return cuda::ceil_div(bytes, 256) * 256; }

/// Where things lie in the workspace, in bytes.
struct Places {
  int64_t logits = 0, row_losses, counted, products, end;

  Places(DType type, const LinearCrossEntropySizes& s)
      : row_losses(aligned(s.chunk * s.classes * size_of(type))),
        counted(row_losses + aligned(s.rows * static_cast<int64_t>(sizeof(double)))),
        products(counted + 256),
        end(products + cuda::LtProducts::kWorkspaceBytes) {}
};

}  // namespace

int64_t linear_cross_entropy_workspace_cuda(DType type, const LinearCrossEntropySizes& sizes) { return Places(type, sizes).end; }

Status linear_cross_entropy_cuda(cuda::LtProducts& products, DType type, DType to, const void* x, const void* w, const int64_t* labels, const float* dloss,
                                 float* loss, void* dx, void* dw, const LinearCrossEntropySizes& s, void* workspace, cudaStream_t stream) {
  HALO_REQUIRE(s.rows <= cuda::kMostBlocksX, "at most " << cuda::kMostBlocksX << " rows", s.rows, "Take a smaller batch or a shorter sequence.");
  HALO_REQUIRE(dw == nullptr || to == type || to == DType::kFloat, "a gradient in float or " << name_of(type) << ", the type of X", to, "Cast it afterwards.");
  const Places places(type, s);
  auto* const base = static_cast<char*>(workspace);
  void* const logits = base + places.logits;
  auto* const row_losses = reinterpret_cast<double*>(base + places.row_losses);
  auto* const counted = reinterpret_cast<double*>(base + places.counted);
  HALO_RETURN_IF_ERROR(count_labels_cuda(labels, s.rows, s.ignored, counted, stream));
  const int64_t row_bytes = s.width * size_of(type);
  for (int64_t first = 0; first < s.rows || first == 0; first += s.chunk) {
    const int64_t rows = std::min(s.chunk, s.rows - first);
    const void* const x_chunk = static_cast<const char*>(x) + first * row_bytes;
    const auto multiply = [&](const cuda::Product& product, const void* a, const void* b, void* y) {
      return products.multiply(product, a, b, y, nullptr, nullptr, base + places.products, cuda::LtProducts::kWorkspaceBytes, stream);
    };
    const cuda::Product forward{.type_a = type, .type_b = type, .type_y = type, .trans_b = true, .m = rows, .n = s.classes, .k = s.width};
    HALO_RETURN_IF_ERROR(multiply(forward, x_chunk, w, logits));
    HALO_RETURN_IF_ERROR(cuda::dispatch_float(type, [&]<class T>() {
      const auto kernel = cuda::rows_are_packed<T>(s.classes, {logits}) ? loss_and_gradient_kernel<true, T> : loss_and_gradient_kernel<false, T>;
      return cuda::launch(kernel, static_cast<unsigned>(rows), cuda::threads_for_packs<T>(s.classes, kMostThreads), 0, stream, dloss, static_cast<T*>(logits),
                          labels + first, row_losses + first, s.classes, s.ignored, counted);
    }));
    const cuda::Product error{.type_a = type, .type_b = type, .type_y = type, .m = rows, .n = s.width, .k = s.classes};
    HALO_RETURN_IF_ERROR(multiply(error, logits, w, static_cast<char*>(dx) + first * row_bytes));
    if (dw == nullptr) continue;
    const cuda::Product gradient{
        .type_a = type, .type_b = type, .type_y = to, .trans_a = true, .m = s.classes, .n = s.width, .k = rows, .beta = first == 0 ? 0.0f : 1.0f};
    HALO_RETURN_IF_ERROR(multiply(gradient, logits, x_chunk, dw));
  }
  return mean_loss_cuda(row_losses, labels, s.rows, s.ignored, loss, stream);
}

}  // namespace halo
