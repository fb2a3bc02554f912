#include "ops/square_sum/square_sum.h"

#include "provider/kernels/reduce.cuh"

namespace halo {

namespace {

using cuda::ReduceOp, cuda::ReducePlan;

ReducePlan plan_of(int64_t count) {
  const bool reduced = true;
  return cuda::plan_reduce({.rank = 1, .sizes = {count}}, &reduced);
}

}  // namespace

int64_t square_sum_workspace_cuda(int64_t count) { return plan_of(count).pieces * static_cast<int64_t>(sizeof(float)); }

Status square_sum_cuda(DType type, const void* x, float* y, int64_t count, void* workspace, int64_t workspace_bytes, cudaStream_t stream) {
  HALO_REQUIRE(workspace_bytes >= square_sum_workspace_cuda(count), square_sum_workspace_cuda(count) << " bytes of workspace", workspace_bytes,
               "Ask square_sum_workspace_cuda.");
  return cuda::dispatch_float(type, [&]<class T>() -> Status {
    const ReducePlan plan = plan_of(count);
    auto* partial = static_cast<float*>(workspace);
    const auto rows = static_cast<unsigned>(256 / plan.row_threads);
    HALO_RETURN_IF_ERROR(cuda::launch(cuda::reduce_rows_kernel<ReduceOp::kSumSquare, T, float>, dim3(1, static_cast<unsigned>(plan.pieces)),
                                      dim3(static_cast<unsigned>(plan.row_threads), rows), 0, stream, static_cast<const T*>(x), nullptr, partial, plan,
                                      cuda::is_aligned(x, 16)));
    return cuda::launch(cuda::reduce_pieces_kernel<ReduceOp::kSumSquare, float, float>, 1, 256, 0, stream, partial, y, 1, plan.pieces, count);
  });
}

}  // namespace halo
