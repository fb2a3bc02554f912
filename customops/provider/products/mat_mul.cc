#include "provider/products/mat_mul.h"

#include <algorithm>
#include <sstream>

namespace halo::cuda {

namespace {

std::string text(const Dims& dims) {
  std::ostringstream out;
  out << '[';
  for (int axis = 0; axis < dims.rank; ++axis) out << (axis > 0 ? ", " : "") << dims.sizes[axis];
  out << ']';
  return out.str();
}

/// A matrix and what lies before it, a vector made a matrix.
struct Operand {
  int64_t rows, columns, leading_rank;
  const Dims* dims;

  /// Size of the leading axis `axis` of `rank`, 1 where there is none.
  int64_t size(int64_t axis, int64_t rank) const { return axis < rank - leading_rank ? 1 : dims->sizes[axis - (rank - leading_rank)]; }
};

Operand operand(const Dims& dims, bool is_left, bool transposed) {
  if (dims.rank == 1) return is_left ? Operand{1, dims.sizes[0], 0, &dims} : Operand{dims.sizes[0], 1, 0, &dims};
  const int64_t rows = dims.sizes[dims.rank - 2], columns = dims.sizes[dims.rank - 1];
  return {transposed ? columns : rows, transposed ? rows : columns, dims.rank - 2, &dims};
}

}  // namespace

Status plan_mat_mul(DType type, const Dims& a_dims, const Dims& b_dims, bool trans_a, bool trans_b, float alpha, MatMulPlan* plan) {
  HALO_REQUIRE(a_dims.rank >= 1 && b_dims.rank >= 1, "tensors of rank 1 or more", text(a_dims) << " and " << text(b_dims), "Use Mul for scalars.");
  const Operand a = operand(a_dims, true, trans_a), b = operand(b_dims, false, trans_b);
  HALO_REQUIRE(a.columns == b.rows, "matrices that share their inner size", text(a_dims) << " and " << text(b_dims), "Check the shapes.");
  const int64_t rank = std::max(a.leading_rank, b.leading_rank);
  *plan = {};
  Product& product = plan->product;
  product = {.type_a = type,
             .type_b = type,
             .type_y = type,
             .trans_a = trans_a && a_dims.rank > 1,
             .trans_b = trans_b && b_dims.rank > 1,
             .m = a.rows,
             .n = b.columns,
             .k = a.columns,
             .alpha = alpha};
  // From the innermost leading axis on: axes join the batch while each operand has one stride for all of them; the others are looped over.
  int64_t a_step = a.rows * a.columns, b_step = b.rows * b.columns, y_step = a.rows * b.columns;
  bool joins = true;
  for (int64_t axis = rank - 1; axis >= 0; --axis) {
    const int64_t a_size = a.size(axis, rank), b_size = b.size(axis, rank);
    HALO_REQUIRE(a_size == b_size || a_size == 1 || b_size == 1, "leading axes that broadcast", text(a_dims) << " and " << text(b_dims), "Check the shapes.");
    const int64_t size = a_size == 1 ? b_size : a_size, a_stride = a_size == 1 ? 0 : a_step, b_stride = b_size == 1 ? 0 : b_step;
    plan->y_dims.sizes[axis] = size;
    const bool is_first = product.batch == 1;
    if (size != 1) {
      joins = joins && (is_first || (a_stride == product.stride_a * product.batch && b_stride == product.stride_b * product.batch));
      if (joins) {
        if (is_first) product.stride_a = a_stride, product.stride_b = b_stride, product.stride_y = y_step;
        product.batch *= size;
      } else {
        const int at = plan->loop.rank++;
        plan->loop.sizes[at] = size;
        plan->a_steps.values[at] = a_stride;
        plan->b_steps.values[at] = b_stride;
        plan->y_steps.values[at] = y_step;
      }
    }
    a_step *= a_size;
    b_step *= b_size;
    y_step *= size;
  }
  // A matrix B for all of A's rows, however they are grouped: one product of more rows.
  if (product.batch > 1 && product.stride_b == 0 && !product.trans_a && product.stride_a == product.m * product.k) {
    product.m *= product.batch;
    product.batch = 1;
    product.stride_a = product.stride_y = 0;
  }
  plan->y_dims.rank = static_cast<int>(rank);
  if (a_dims.rank > 1) plan->y_dims.sizes[plan->y_dims.rank++] = a.rows;
  if (b_dims.rank > 1) plan->y_dims.sizes[plan->y_dims.rank++] = b.columns;
  return {};
}

Status mat_mul(LtProducts& products, const MatMulPlan& plan, const void* a, const void* b, void* y, void* workspace, int64_t workspace_bytes,
               cudaStream_t stream) {
  const int64_t size = size_of(plan.product.type_y), count = plan.loop.count();
  for (int64_t n = 0; n < count; ++n) {
    int64_t rest = n, a_at = 0, b_at = 0, y_at = 0;
    for (int axis = 0; axis < plan.loop.rank; ++axis) {
      const int64_t i = rest % plan.loop.sizes[axis];
      rest /= plan.loop.sizes[axis];
      a_at += i * plan.a_steps.values[axis];
      b_at += i * plan.b_steps.values[axis];
      y_at += i * plan.y_steps.values[axis];
    }
    HALO_RETURN_IF_ERROR(products.multiply(plan.product, static_cast<const char*>(a) + a_at * size, static_cast<const char*>(b) + b_at * size,
                                           static_cast<char*>(y) + y_at * size, nullptr, nullptr, workspace, workspace_bytes, stream));
  }
  return {};
}

}  // namespace halo::cuda
