#include "provider/kernels/reduce.cuh"

namespace halo::cuda {

namespace {

bool is_real(DType type) { return type == DType::kFloat || type == DType::kBFloat16 || type == DType::kFloat16 || type == DType::kDouble; }

template <ReduceOp op>
cudaError_t of_type(DType type, const void* x, void* y, const ReducePlan& plan, void* workspace, int64_t bytes, cudaStream_t stream) {
  const auto run = [&]<class T>() {
    using V = std::conditional_t<std::is_same_v<T, bool>, int, std::conditional_t<std::is_integral_v<T>, int64_t, Real<T>>>;
    return reduce_as<op, T, V>(static_cast<const T*>(x), static_cast<T*>(y), plan, workspace, bytes, stream);
  };
  if constexpr (op == ReduceOp::kMax || op == ReduceOp::kMin) {
    if (type == DType::kBool) return run.template operator()<bool>();
  }
  if constexpr (op == ReduceOp::kSumSquare || op == ReduceOp::kL1 || op == ReduceOp::kL2) {
    return dispatch_real(type, run);
  } else {
    return dispatch_number(type, run);
  }
}

}  // namespace

cudaError_t reduce_log_sum_exp(DType type, const void* x, void* y, const ReducePlan& plan, cudaStream_t stream);  // softmax.cu

bool reduce_supports(ReduceOp op, DType type) {
  if (is_real(type)) return true;
  const bool is_extremum = op == ReduceOp::kMax || op == ReduceOp::kMin;
  if (type == DType::kBool) return is_extremum;
  return (type == DType::kInt32 || type == DType::kInt64) && (is_extremum || op == ReduceOp::kSum || op == ReduceOp::kProd || op == ReduceOp::kMean);
}

int64_t reduce_workspace(ReduceOp op, DType type, const Dims& x_dims, const bool* reduced) {
  const ReducePlan plan = plan_reduce(x_dims, reduced);
  const int64_t sum_bytes = type == DType::kDouble || type == DType::kInt32 || type == DType::kInt64 ? 8 : 4;
  return plan.pieces > 1 && op != ReduceOp::kLogSumExp ? plan.pieces * plan.kept * sum_bytes : 0;
}

cudaError_t reduce(ReduceOp op, DType type, const void* x, const Dims& x_dims, const bool* reduced, void* y, void* workspace, int64_t workspace_bytes,
                   cudaStream_t stream) {
  if (!reduce_supports(op, type)) return cudaErrorInvalidValue;
  const ReducePlan plan = plan_reduce(x_dims, reduced);
  if (plan.kept == 0) return cudaSuccess;
  if (plan.kept > INT32_MAX || (plan.reduced > INT32_MAX && plan.reduced_rank > 1)) return cudaErrorInvalidValue;
  switch (op) {
    case ReduceOp::kSum:
      return of_type<ReduceOp::kSum>(type, x, y, plan, workspace, workspace_bytes, stream);
    case ReduceOp::kMean:
      return of_type<ReduceOp::kMean>(type, x, y, plan, workspace, workspace_bytes, stream);
    case ReduceOp::kMax:
      return of_type<ReduceOp::kMax>(type, x, y, plan, workspace, workspace_bytes, stream);
    case ReduceOp::kMin:
      return of_type<ReduceOp::kMin>(type, x, y, plan, workspace, workspace_bytes, stream);
    case ReduceOp::kProd:
      return of_type<ReduceOp::kProd>(type, x, y, plan, workspace, workspace_bytes, stream);
    case ReduceOp::kSumSquare:
      return of_type<ReduceOp::kSumSquare>(type, x, y, plan, workspace, workspace_bytes, stream);
    case ReduceOp::kL1:
      return of_type<ReduceOp::kL1>(type, x, y, plan, workspace, workspace_bytes, stream);
    case ReduceOp::kL2:
      return of_type<ReduceOp::kL2>(type, x, y, plan, workspace, workspace_bytes, stream);
    case ReduceOp::kLogSumExp:
      return reduce_log_sum_exp(type, x, y, plan, stream);
  }
  return cudaErrorInvalidValue;
}

}  // namespace halo::cuda
