// Limits of the kernels for ONNX's own operators; those of com.halo's stand beside each.
#include "check/cuda/limits.h"
#include "provider/kernels/dequantize.h"
#include "provider/kernels/elementwise.h"
#include "provider/kernels/gather.h"
#include "provider/kernels/heads.h"
#include "provider/kernels/loss.h"
#include "provider/kernels/masked_attention.h"
#include "provider/kernels/movement.h"
#include "provider/kernels/reduce.h"
#include "provider/kernels/scatter.h"

namespace halo::check {

HALO_CHECK(limits_of_rows_are_named) {
  expect_refused(cuda::softmax(false, kFloat, none, nowhere, kTooMany, 8, 1, nullptr), "at most 2147483647 rows", "2147483648");
  expect_refused(cuda::softmax_cross_entropy_loss(kFloat, none, {none, DType::kInt64}, none, false, 0, cuda::LossReduction::kMean, nowhere, nowhere,
                                                  {.batch = kTooMany, .classes = 2, .inner = 1}, nowhere, nullptr),
                 "at most 2147483647 rows", "2147483648");
}

HALO_CHECK(limits_of_heads_are_named) {
  const AttentionSizes groups{.batch = 8192, .heads = 8, .groups = 8, .queries = 1, .keys = 1, .dim = 64};
  expect_refused(cuda::masked_attention(kFloat, none, none, none, {}, nowhere, groups, 64, 1.0f, nullptr), "at most 65535 ", "65536");
}

HALO_CHECK(limits_of_moved_tensors_are_named) {
  const cuda::Dims one = dims_of({4}), two = dims_of({2, 4});
  const cuda::Indices indices{none, DType::kInt64};
  expect_refused(cuda::gather(1, none, indices, kTooMany, nowhere, 1, 4, 1, nullptr), "at most 2147483647 slices", "2147483648");
  expect_refused(cuda::gather_elements(4, none, one, indices, two, 0, nowhere, nullptr), "indices of the rank of data, 1", "2");
  expect_refused(cuda::scatter_elements(cuda::ScatterReduction::kAdd, kFloat, none, two, indices, two, 2, none, nowhere, nullptr), "an axis below 2", "2");
  expect_refused(
      cuda::scatter_nd(cuda::ScatterReduction::kAdd, kFloat, none, one, indices, dims_of({kTooMany, 1}), none, nowhere, nowhere, kTooMany * 64, nullptr),
      "at most 2147483647 updates", "2147483648");
  expect_refused(cuda::scatter_nd(cuda::ScatterReduction::kAdd, kFloat, none, one, indices, dims_of({3, 1}), none, nowhere, nowhere, 0, nullptr),
                 std::to_string(cuda::scatter_nd_workspace(dims_of({3, 1}))) + " bytes of workspace", "0");
  expect_refused(cuda::expand(4, none, two, nowhere, one, nullptr), "sizes of at least 2 axes", "1");
  expect_refused(cuda::triangle(3, none, nowhere, 1, 4, 4, 0, true, nullptr), "elements of 1, 2, 4 or 8 bytes", "3");
  const bool reduced[] = {true, false};
  expect_refused(cuda::reduce(cuda::ReduceOp::kSum, kFloat, none, dims_of({2, kTooMany}), reduced, nowhere, nowhere, 0, nullptr), "at most 2147483647 results",
                 "2147483648");
}

HALO_CHECK(types_without_a_kernel_are_named) {
  expect_refused(cuda::unary(cuda::UnaryOp::kExp, DType::kInt32, none, nowhere, 8, nullptr), "a type that this function takes", "int32");
  const cuda::Dims dims = dims_of({8});
  expect_refused(cuda::binary(cuda::BinaryOp::kAnd, kFloat, none, dims, none, dims, nowhere, dims, nullptr), "a type that this operator takes", "float");
  expect_refused(cuda::cast(static_cast<DType>(18), kFloat, none, nowhere, 8, true, nullptr), "a tensor of float, ", "an unknown type");
  expect_refused(cuda::dequantize(kFloat, kFloat, none, none, none, nowhere, {}, nullptr), "a tensor of int8, uint8, int32, float8e4m3fn, float8e5m2", "float");
}

}  // namespace halo::check
