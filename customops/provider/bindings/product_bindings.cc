// MatMul, Gemm and com.microsoft.FusedMatMul.
#include "provider/bindings/axes.h"
#include "provider/bindings/kernel.h"
#include "provider/kernels/movement.h"
#include "provider/kernels/row_product.h"
#include "provider/products/mat_mul.h"

namespace halo::cuda {

namespace {

Status multiply(Launch& launch, bool trans_a, bool trans_b, float alpha) {
  const Tensor a = launch.in(0), b = launch.in(1);
  MatMulPlan plan;
  HALO_RETURN_IF_ERROR(plan_mat_mul(a.type, a.dims, b.dims, trans_a, trans_b, alpha, &plan));
  void* y = launch.out(0, plan.y_dims);
  HALO_WORKSPACE(work, launch, LtProducts::kWorkspaceBytes);
  return mat_mul(launch.device().products(), plan, a.data, b.data, y, work.data(), work.bytes(), launch.stream());
}

Status run_mat_mul(Launch& launch) { return multiply(launch, false, false, 1.0f); }

Kernel make_fused_mat_mul(const NodeAttributes& attributes) {
  const bool trans_a = attributes.integer("transA", 0) != 0, trans_b = attributes.integer("transB", 0) != 0;
  const float alpha = attributes.real("alpha", 1.0f);
  return [=](Launch& launch) { return multiply(launch, trans_a, trans_b, alpha); };
}

/// Whether C is one row for all of Y, or none.
bool is_row(const Tensor& c, bool has_bias, int64_t n) { return !has_bias || (c.dims.rank >= 1 && c.count() == n && c.dims.sizes[c.dims.rank - 1] == n); }

Kernel make_gemm(const NodeAttributes& attributes) {
  const bool trans_a = attributes.integer("transA", 0) != 0, trans_b = attributes.integer("transB", 0) != 0;
  const float alpha = attributes.real("alpha", 1.0f), beta = attributes.real("beta", 1.0f);
  return [=](Launch& launch) -> Status {
    const Tensor a = launch.in(0), b = launch.in(1), c = launch.in(2);
    HALO_REQUIRE(a.dims.rank == 2 && b.dims.rank == 2, "two matrices", a.dims.rank << " and " << b.dims.rank << " axes", "Use MatMul.");
    Product product{.type_a = a.type, .type_b = b.type, .type_y = a.type, .trans_a = trans_a, .trans_b = trans_b, .alpha = alpha};
    product.m = a.dims.sizes[trans_a ? 1 : 0];
    product.k = a.dims.sizes[trans_a ? 0 : 1];
    product.n = b.dims.sizes[trans_b ? 0 : 1];
    HALO_REQUIRE(b.dims.sizes[trans_b ? 1 : 0] == product.k, "matrices that share K = " << product.k, b.dims.sizes[trans_b ? 1 : 0],
                 "Check the transpose flags.");
    const Dims dims{.rank = 2, .sizes = {product.m, product.n}};
    void* y = launch.out(0, dims);
    const bool has_bias = c.is_present() && beta != 0;
    if (!trans_a && trans_b && is_row(c, has_bias, product.n) && row_product_supports(a.type, a.data, b.data, product.m, product.k)) {
      return row_product(a.type, a.data, b.data, has_bias ? c.data : nullptr, y, product.m, product.n, product.k, alpha, beta, launch.stream());
    }
    const bool is_whole = has_bias && c.dims.rank == 2 && c.dims.sizes[0] == product.m && c.dims.sizes[1] == product.n;
    if (has_bias) product.beta = beta;
    if (has_bias && !is_whole) HALO_RETURN_IF_ERROR(expand(c.element_size(), c.data, c.dims, y, dims, launch.stream()));
    HALO_WORKSPACE(work, launch, LtProducts::kWorkspaceBytes);
    return launch.device().products().multiply(product, a.data, b.data, y, nullptr, nullptr, work.data(), work.bytes(), launch.stream(),
                                               is_whole ? c.data : nullptr);
  };
}

bool multiplies(const NodeFacts& node) { return is_float(node.type()); }

const KernelRows product_kernels({
    {.type = "MatMul", .supports = multiplies, .make = [](const NodeAttributes&) -> Kernel { return run_mat_mul; }},
    {.type = "Gemm", .supports = multiplies, .make = make_gemm},
    {.type = "FusedMatMul",
     .supports =
         [](const NodeFacts& node) {
           return is_float(node.type()) && node.attributes.integer("transBatchA", 0) == 0 && node.attributes.integer("transBatchB", 0) == 0;
         },
     .make = make_fused_mat_mul,
     .domain = "com.microsoft"},
});

}  // namespace

}  // namespace halo::cuda
