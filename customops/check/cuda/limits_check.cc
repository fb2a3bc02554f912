// What a launcher does not take it refuses, with its limit: nothing is started, and the status says what was found and what to do.
#include "check/cuda/device.h"
#include "ops/attention/attention.h"
#include "ops/attention_grad/attention_grad.h"
#include "ops/cross_entropy/cross_entropy.h"
#include "ops/cross_entropy_grad/cross_entropy_grad.h"
#include "ops/hadamard_transform/hadamard_transform.h"
#include "ops/quantize/quantize.h"
#include "ops/rms_norm/rms_norm.h"
#include "ops/rms_norm_grad/rms_norm_grad.h"
#include "ops/rotary_embedding/rotary_embedding.h"
#include "ops/swi_glu/swi_glu.h"
#include "ops/swi_glu_grad/swi_glu_grad.h"
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

namespace {

constexpr int64_t kTooMany = int64_t{1} << 31;
constexpr DType kFloat = DType::kFloat;
const void* const none = nullptr;
void* const nowhere = nullptr;
float* const no_floats = nullptr;
const int64_t* const no_labels = nullptr;

/// "expected <expected>, found <found>. <advice> (file:line)".
void expect_refused(const Status& status, const std::string& expected, const std::string& found) {
  const std::string wanted = "expected " + expected;
  expect(status.message().starts_with(wanted) && status.message().find(", found " + found + ". ") != std::string::npos,
         "expected a refusal '" + wanted + " .., found " + found + "', found '" + status.message() + "'");
}

}  // namespace

HALO_CHECK(limits_of_rows_are_named) {
  expect_refused(rms_norm_cuda(kFloat, none, none, nowhere, no_floats, kTooMany, 1, 1e-5f, nullptr), "at most 2147483647 rows", "2147483648");
  expect_refused(cross_entropy_cuda(kFloat, none, no_labels, no_floats, no_floats, kTooMany, 1, -100, nowhere, nullptr), "at most 2147483647 rows",
                 "2147483648");
  expect_refused(cross_entropy_grad_cuda(kFloat, no_floats, none, no_labels, no_floats, nowhere, kTooMany, 1, -100, nowhere, nullptr),
                 "at most 2147483647 rows", "2147483648");
  expect_refused(cuda::softmax(false, kFloat, none, nowhere, kTooMany, 8, 1, nullptr), "at most 2147483647 rows", "2147483648");
  expect_refused(cuda::softmax_cross_entropy_loss(kFloat, none, {none, DType::kInt64}, none, false, 0, cuda::LossReduction::kMean, nowhere, nowhere,
                                                  {.batch = kTooMany, .classes = 2, .inner = 1}, nowhere, nullptr),
                 "at most 2147483647 rows", "2147483648");
  const int64_t columns = int64_t{1} << 20;
  expect_refused(rms_norm_grad_cuda(kFloat, none, none, none, no_floats, nowhere, nowhere, 1, columns, nowhere, nullptr), "at most ", "1048576");
}

HALO_CHECK(limits_of_heads_are_named) {
  const AttentionMask mask;
  const AttentionSizes many{.batch = 2048, .heads = 32, .groups = 8, .queries = 1, .keys = 1, .dim = 64};
  expect_refused(attention_cuda(kFloat, none, none, none, mask, nowhere, no_floats, many, 1.0f, nullptr, nullptr), "at most 65535 ", "65536");
  expect_refused(attention_grad_cuda(kFloat, {}, mask, many, 1.0f, nullptr, nowhere, nullptr), "at most 65535 ", "65536");
  const AttentionSizes wide{.batch = 1, .heads = 1, .groups = 1, .queries = 1, .keys = 1, .dim = 257};
  expect_refused(attention_cuda(kFloat, none, none, none, mask, nowhere, no_floats, wide, 1.0f, nullptr, nullptr), "heads of 1 to 256 channels", "257");
  const AttentionSizes groups{.batch = 8192, .heads = 8, .groups = 8, .queries = 1, .keys = 1, .dim = 64};
  expect_refused(cuda::masked_attention(kFloat, none, none, none, {}, nowhere, groups, 64, 1.0f, nullptr), "at most 65535 ", "65536");
  const RotarySizes odd{.batch = 1, .heads = 1, .tokens = 4, .dim = 7, .positions = 4}, late{.batch = 1, .heads = 1, .tokens = 9, .dim = 8, .positions = 4};
  expect_refused(rotary_embedding_cuda(kFloat, none, no_floats, no_floats, no_labels, nowhere, odd, false, nullptr), "heads of an even number of channels",
                 "7");
  expect_refused(rotary_embedding_cuda(kFloat, none, no_floats, no_floats, no_labels, nowhere, late, false, nullptr), "tables of at least 9 positions", "4");
}

HALO_CHECK(limits_of_blocks_are_named) {
  for (const int64_t size : {int64_t{3}, int64_t{1} << 20}) {
    expect_refused(hadamard_transform_cuda(kFloat, none, nowhere, 1, size, 1, &size, 1, false, nullptr), "a block with a Hadamard matrix",
                   std::to_string(size));
  }
  const int64_t size = 4;
  expect_refused(hadamard_transform_cuda(kFloat, none, nowhere, 1, 8, 1, &size, 0, false, nullptr), "blocks that sum to the rotated axis, 8", "0");
  const std::vector<int64_t> ones(65536, 1);
  expect_refused(hadamard_transform_cuda(kFloat, none, nowhere, 1, 65536, 1, ones.data(), 65536, false, nullptr), "at most 65535 blocks of one size", "65536");
  expect_refused(quantize_cuda("e2m1", kFloat, none, nowhere, nullptr, no_floats, 1, 1, nowhere, nullptr), "format e4m3, e5m2, e3m2 or int8", "'e2m1'");
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
  const std::string floats = "a tensor of float, bfloat16, float16";
  expect_refused(rms_norm_cuda(DType::kDouble, none, none, nowhere, no_floats, 1, 8, 1e-5f, nullptr), floats, "double");
  expect_refused(swi_glu_cuda(DType::kInt8, none, none, nowhere, 8, nullptr), floats, "int8");
  expect_refused(swi_glu_grad_cuda(DType::kInt32, none, none, none, nowhere, nowhere, 8, nullptr), floats, "int32");
  expect_refused(quantize_cuda("int8", DType::kDouble, none, nowhere, nullptr, no_floats, 1, 1, nowhere, nullptr), floats, "double");
  expect_refused(cuda::unary(cuda::UnaryOp::kExp, DType::kInt32, none, nowhere, 8, nullptr), "a type that this function takes", "int32");
  const cuda::Dims dims = dims_of({8});
  expect_refused(cuda::binary(cuda::BinaryOp::kAnd, kFloat, none, dims, none, dims, nowhere, dims, nullptr), "a type that this operator takes", "float");
  expect_refused(cuda::cast(static_cast<DType>(18), kFloat, none, nowhere, 8, true, nullptr), "a tensor of float, ", "an unknown type");
  expect_refused(cuda::dequantize(kFloat, kFloat, none, none, none, nowhere, {}, nullptr), "a tensor of int8, uint8, int32, float8e4m3fn, float8e5m2", "float");
}

}  // namespace halo::check
