// ONNX's MatMul: numpy's broadcasting of the leading axes, vectors as matrices of one row or one column.
#pragma once

#include "common/status.h"
#include "provider/kernels/tensor.h"
#include "provider/products/lt_products.h"

namespace halo::cuda {

/// What one MatMul comes down to: one batched product, or several where the leading axes have no single stride.
struct MatMulPlan {
  Product product;
  Dims loop;                          // leading axes beside the batch
  PerAxis a_steps, b_steps, y_steps;  // elements from one index of `loop` to the next
  Dims y_dims;                        // of the result
};

/// Fills the plan for A and B of these sizes and of one type (also that of Y); trans_a and trans_b swap the last two axes, alpha is a factor (FusedMatMul).
/// The error says which sizes do not fit together.
Status plan_mat_mul(DType type, const Dims& a, const Dims& b, bool trans_a, bool trans_b, float alpha, MatMulPlan* plan);

/// All products of a plan.
Status mat_mul(LtProducts& products, const MatMulPlan& plan, const void* a, const void* b, void* y, void* workspace, int64_t workspace_bytes,
               cudaStream_t stream);

}  // namespace halo::cuda
