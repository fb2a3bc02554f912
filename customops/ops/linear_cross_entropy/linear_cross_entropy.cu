#include "ops/linear_cross_entropy/linear_cross_entropy.h"

#include "ops/cross_entropy/cross_entropy.h"
#include "ops/cross_entropy_grad/cross_entropy_grad.h"
#include "provider/kernels/exponentials.cuh"
#include "provider/kernels/rows.cuh"

namespace halo {

namespace {

/// A multiprocessor has one block of so many threads: 132 rows of 256 KB (a vocabulary of 128k in 16 bits) stay in L2 until they are read again.
constexpr int kMostThreads = 1024;

/// A block has a row of logits and writes its gradient over it. Reads each element twice, the second time from L2, and writes it once; bound by memory and
/// the exponentials.
template <class T>
__global__ void __launch_bounds__(kMostThreads) loss_and_gradient_kernel(const float* dloss, T* logits, const int64_t* labels, double* row_losses,
                                                                         int64_t classes, int64_t ignored, const double* counted, bool is_packed) {
  constexpr int kWidth = cuda::kRowWidth<T>;
  __shared__ float scratch[cuda::kWarp];
  T* x = logits + static_cast<int64_t>(blockIdx.x) * classes;
  const int64_t label = labels[blockIdx.x];
  const bool is_ignored = label == ignored, is_class = label >= 0 && label < classes;
  const float at_label = is_class ? to_float(x[label]) : std::numeric_limits<float>::quiet_NaN();
  float sum = 0;
  if (!is_ignored) {
    cuda::Exponentials<float> thread_sum;
    cuda::for_row_packs<T>(x, classes, is_packed, [&](const cuda::RowPacks<T>& packs, int64_t first) {
      float numbers[cuda::RowPacks<T>::kCount];
      packs.numbers(first, classes, -std::numeric_limits<float>::infinity(), numbers);
      cuda::add(thread_sum, numbers);
    });
    // Barriers within: all threads have read the label's logit when the first one writes.
    sum = cuda::logarithm_of(cuda::merged_over_block(thread_sum, scratch));
  }
  if (threadIdx.x == 0) row_losses[blockIdx.x] = is_ignored ? 0.0 : static_cast<double>(sum) - static_cast<double>(at_label);
  const float scale = is_class ? static_cast<float>(static_cast<double>(*dloss) / *counted) : std::numeric_limits<float>::quiet_NaN();
  if (is_ignored) {
    cuda::for_packs<T>(classes, is_packed, [&](int64_t at, int length, bool is_whole) {
      T zeros[kWidth];
#pragma unroll
      for (int i = 0; i < kWidth; ++i) zeros[i] = from_float<T>(0.0f);
      cuda::store_pack<kWidth>(x + at, is_whole, length, zeros);
    });
    return;
  }
  cuda::for_row_packs<T>(x, classes, is_packed, [&](const cuda::RowPacks<T>& packs, int64_t first) {
    cuda::RowPacks<T>::store(x, first, classes, is_packed, [&](int pack, int i) {
      const float p = expf(packs.number(first, classes, pack, i, -std::numeric_limits<float>::infinity()) - sum);
      return from_float<T>((cuda::RowPacks<T>::column(first, pack) + i == label ? p - 1.0f : p) * scale);
    });
  });
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
  HALO_REQUIRE(to == type || to == DType::kFloat, "a gradient in float or " << name_of(type) << ", the type of X", to, "Cast it afterwards.");
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
      return cuda::launch(loss_and_gradient_kernel<T>, static_cast<unsigned>(rows), cuda::threads_for_packs<T>(s.classes, kMostThreads), 0, stream, dloss,
                          static_cast<T*>(logits), labels + first, row_losses + first, s.classes, s.ignored, counted,
                          cuda::rows_are_packed<T>(s.classes, {logits}));
    }));
    const cuda::Product error{.type_a = type, .type_b = type, .type_y = type, .m = rows, .n = s.width, .k = s.classes};
    HALO_RETURN_IF_ERROR(multiply(error, logits, w, static_cast<char*>(dx) + first * row_bytes));
    const cuda::Product gradient{
        .type_a = type, .type_b = type, .type_y = to, .trans_a = true, .m = s.classes, .n = s.width, .k = rows, .beta = first == 0 ? 0.0f : 1.0f};
    HALO_RETURN_IF_ERROR(multiply(gradient, logits, x_chunk, dw));
  }
  return mean_loss_cuda(row_losses, labels, s.rows, s.ignored, loss, stream);
}

}  // namespace halo
