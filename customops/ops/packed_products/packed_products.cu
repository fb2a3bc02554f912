#include "ops/packed_products/packed_products.h"

#include "ops/swi_glu/swi_glu.h"
#include "provider/kernels/device.cuh"
#include "provider/kernels/movement.h"
#include "provider/kernels/packed_product.h"
#include "provider/products/lt_products.h"

namespace halo {

namespace {

cuda::PackedMatrices matrices_of(const PackedFactors& factors) {
  cuda::PackedMatrices matrices;
  matrices.count = factors.count;
  matrices.zero_type = factors.all[0].zeros == nullptr ? DType::kUndefined : DType::kUInt8;
  matrices.k = factors.k;
  matrices.block = factors.block;
  matrices.bits = factors.bits;
  matrices.is_gated = factors.is_gated;
  for (size_t i = 0; i < static_cast<size_t>(factors.count); ++i) {
    const PackedFactor& f = factors.all[i];
    matrices.matrices[i] = {.codes = f.codes, .scales = f.scales, .zeros = f.zeros, .bias = f.bias, .n = f.n};
  }
  return matrices;
}

int64_t aligned(int64_t bytes) { return cuda::ceil_div(bytes, 256) * 256; }

/// Where the parts of the workspace begin: products of the factors, a weight written out, what cuBLASLt wants.
struct Parts {
  int64_t products[kMostFactors] = {}, weight = 0, work = 0, end = 0;

  Parts(DType type, int64_t rows, const PackedFactors& factors) {
    int64_t most = 0;
    for (size_t i = 0; i < static_cast<size_t>(factors.count); ++i) {
      products[i] = weight;
      weight += aligned(rows * factors.all[i].n * size_of(type));
      most = factors.all[i].n > most ? factors.all[i].n : most;
    }
    work = weight + aligned(most * factors.k * size_of(type));
    end = work + cuda::LtProducts::kWorkspaceBytes;
  }
};

/// a w^T + bias, its weight written out first.
Status multiply(cuda::LtProducts& products, DType type, const void* a, int64_t rows, const cuda::PackedMatrices& w, int i, void* y, void* weight, void* work,
                cudaStream_t stream) {
  const cuda::PackedMatrix& m = w.matrices[i];
  HALO_RETURN_IF_ERROR(cuda::unpack_weights(type, m.codes, m.scales, w.zero_type, m.zeros, weight, w.weights(i), stream));
  cuda::Product product{.type_a = type, .type_b = type, .type_y = type, .trans_b = true, .m = rows, .n = m.n, .k = w.k};
  if (m.bias != nullptr) {
    product.beta = 1;
    HALO_RETURN_IF_ERROR(cuda::expand(size_of(type), m.bias, {.rank = 1, .sizes = {m.n}}, y, {.rank = 2, .sizes = {rows, m.n}}, stream));
  }
  return products.multiply(product, a, weight, y, nullptr, nullptr, work, cuda::LtProducts::kWorkspaceBytes, stream);
}

}  // namespace

int64_t packed_products_workspace_cuda(DType type, int64_t rows, const PackedFactors& factors) {
  return cuda::packed_products_support(rows, matrices_of(factors)) ? 0 : Parts(type, rows, factors).end;
}

Status packed_products_cuda(cuda::LtProducts& products, DType type, const void* a, int64_t rows, const PackedFactors& factors, void* y, void* workspace,
                            int64_t workspace_bytes, cudaStream_t stream) {
  const cuda::PackedMatrices w = matrices_of(factors);
  if (cuda::packed_products_support(rows, w)) return cuda::packed_products(type, a, rows, w, y, stream);
  const Parts parts(type, rows, factors);
  HALO_REQUIRE(workspace_bytes >= parts.end, parts.end << " bytes of workspace", workspace_bytes, "Ask packed_products_workspace_cuda.");
  auto* memory = static_cast<char*>(workspace);
  const void* made[kMostFactors] = {};
  int64_t sizes[kMostFactors] = {};
  for (int i = 0; i < w.count; ++i) {
    made[i] = memory + parts.products[i];
    sizes[i] = w.matrices[i].n;
    HALO_RETURN_IF_ERROR(multiply(products, type, a, rows, w, i, memory + parts.products[i], memory + parts.weight, memory + parts.work, stream));
  }
  if (w.is_gated) return swi_glu_cuda(type, made[0], made[1], y, nullptr, rows * w.columns(), stream);
  return cuda::concat(size_of(type), made, sizes, w.count, 1, y, {.rank = 2, .sizes = {rows, w.columns()}}, stream);
}

}  // namespace halo
