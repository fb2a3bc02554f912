#include "ops/attention/attention_rows.h"

#include "provider/kernels/device.cuh"

namespace halo {

namespace {

constexpr int kThreads = 256;

/// grid: (B). A thread has every kThreads-th key.
__global__ void __launch_bounds__(kThreads) attention_rows_kernel(const int64_t* mask, AttentionSizes sizes, AttentionRows rows) {
  __shared__ int64_t scratch[cuda::kWarp];
  const int64_t batch = blockIdx.x;
  // Visible keys, and in the upper half those behind a hidden one: none of the latter where the visible ones are the first.
  int64_t seen = 0;
  if (mask != nullptr) {
    const int64_t* mask_row = mask + batch * sizes.keys;
    for (int64_t key = threadIdx.x; key < sizes.keys; key += kThreads) {
      if (mask_row[key] != 0) seen += 1 + (key > 0 && mask_row[key - 1] == 0 ? int64_t{1} << 32 : 0);
    }
    seen = cuda::over_block(cuda::SumOf(), seen, int64_t{0}, scratch);
  } else {
    seen = sizes.keys;
  }
  if (threadIdx.x != 0) return;
  const bool is_run = seen > 0 && seen <= sizes.keys;
  rows.query_lengths[batch] = static_cast<int32_t>(sizes.queries);
  rows.key_lengths[batch] = static_cast<int32_t>(is_run ? seen : sizes.keys);
  rows.others[batch] = is_run ? 0 : 1;
}

}  // namespace

Status attention_rows_cuda(const int64_t* mask, const AttentionSizes& sizes, const AttentionRows& rows, cudaStream_t stream) {
  return cuda::launch(attention_rows_kernel, dim3(static_cast<unsigned>(sizes.batch)), kThreads, 0, stream, mask, sizes, rows);
}

}  // namespace halo
