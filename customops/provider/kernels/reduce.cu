#include "provider/kernels/reduce.cuh"

namespace halo::cuda {

namespace {

template <ReduceOp... ops>
constexpr bool is_one_of(ReduceOp op) {
  return ((op == ops) || ...);
}

/// What a reduction takes: numbers, extrema also bool, powers and magnitudes no integers.
template <ReduceOp op>
using TypesOf = std::conditional_t<is_one_of<ReduceOp::kMax, ReduceOp::kMin>(op), TypeList<float, BFloat16, Float16, double, int32_t, int64_t, bool>,
                                   std::conditional_t<is_one_of<ReduceOp::kSum, ReduceOp::kMean, ReduceOp::kProd>(op), NumberTypes, RealTypes>>;

template <ReduceOp op>
Status run(DType type, const void* x, void* y, const ReducePlan& plan, void* workspace, int64_t bytes, cudaStream_t stream) {
  return dispatch(TypesOf<op>(), type, [&]<class T>() {
    using V = std::conditional_t<std::is_same_v<T, bool>, int, std::conditional_t<std::is_integral_v<T>, int64_t, Real<T>>>;
    return reduce_as<op, T, V>(static_cast<const T*>(x), static_cast<T*>(y), plan, workspace, bytes, stream);
  });
}

}  // namespace

Status reduce_log_sum_exp(DType type, const void* x, void* y, const ReducePlan& plan, cudaStream_t stream);  // softmax.cu

namespace {

/// Which types an operator takes, and what runs it; kLogSumExp has a kernel of its own.
struct Row {
  ReduceOp op;
  bool (*takes)(DType type);
  Status (*run)(DType type, const void* x, void* y, const ReducePlan& plan, void* workspace, int64_t bytes, cudaStream_t stream);
};

template <ReduceOp op>
constexpr Row kRow = {op, TypesOf<op>::has, run<op>};

constexpr Row kRows[] = {
    kRow<ReduceOp::kSum>,
    kRow<ReduceOp::kMean>,
    kRow<ReduceOp::kMax>,
    kRow<ReduceOp::kMin>,
    kRow<ReduceOp::kProd>,
    kRow<ReduceOp::kSumSquare>,
    kRow<ReduceOp::kL1>,
    kRow<ReduceOp::kL2>,
    {ReduceOp::kLogSumExp, RealTypes::has,
     [](DType type, const void* x, void* y, const ReducePlan& plan, void*, int64_t, cudaStream_t stream) {
       return reduce_log_sum_exp(type, x, y, plan, stream);
     }},
};

const Row* row_of(ReduceOp op) {
  for (const Row& row : kRows) {
    if (row.op == op) return &row;
  }
  return nullptr;
}

}  // namespace

bool reduce_supports(ReduceOp op, DType type) {
  const Row* row = row_of(op);
  return row != nullptr && row->takes(type);
}

int64_t reduce_workspace(ReduceOp op, DType type, const Dims& x_dims, const bool* reduced) {
  const ReducePlan plan = plan_reduce(x_dims, reduced);
  const int64_t sum_bytes = type == DType::kDouble || type == DType::kInt32 || type == DType::kInt64 ? 8 : 4;
  return plan.pieces > 1 && op != ReduceOp::kLogSumExp ? plan.pieces * plan.outputs * sum_bytes : 0;
}

Status reduce(ReduceOp op, DType type, const void* x, const Dims& x_dims, const bool* reduced, void* y, void* workspace, int64_t workspace_bytes,
              cudaStream_t stream) {
  const Row* row = row_of(op);
  HALO_REQUIRE(row != nullptr && row->takes(type), "a type that this reduction takes", type, "Cast the tensor.");
  const ReducePlan plan = plan_reduce(x_dims, reduced);
  if (plan.outputs == 0) return {};
  HALO_REQUIRE(plan.outputs <= INT32_MAX, "at most " << INT32_MAX << " results", plan.outputs, "Take a smaller batch or a shorter sequence.");
  HALO_REQUIRE(plan.reduced <= INT32_MAX || plan.reduced_rank <= 1, "at most " << INT32_MAX << " elements to each result, or all of them together in memory",
               plan.reduced, "Reduce one axis after the other.");
  return row->run(type, x, y, plan, workspace, workspace_bytes, stream);
}

}  // namespace halo::cuda
