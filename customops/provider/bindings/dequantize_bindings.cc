// DequantizeLinear, and com.microsoft.MatMulNBits by a product with the weights written out, or with the codes as they are for few rows.
#include "provider/bindings/axes.h"
#include "provider/bindings/kernel.h"
#include "provider/kernels/dequantize.h"
#include "provider/kernels/movement.h"
#include "provider/kernels/packed_product.h"

namespace halo::cuda {

namespace {

/// One scale, one for each index of the axis, or one for each block along it.
Kernel make_dequantize(const NodeAttributes& attributes) {
  return [given = attributes.integer("axis", 1), block = attributes.integer("block_size", 0)](Launch& launch) -> Status {
    const Tensor x = launch.in(0), scale = launch.in(1), zero = launch.in(2);
    ScaleLayout layout{.size = x.count()};
    if (scale.dims.count() > 1 || block > 0) {
      const int axis = axis_of(given, x.dims.rank);
      const AxisView view = view_along(x.dims, axis);
      layout = {.outer = view.outer, .size = view.size, .inner = view.inner, .block = std::max<int64_t>(1, block), .size_step = 1};
      if (block > 0) {
        const int64_t blocks = (view.size + block - 1) / block;
        layout.outer_step = blocks * view.inner;
        layout.size_step = view.inner;
        layout.inner_step = 1;
        HALO_REQUIRE(scale.count() == view.outer * blocks * view.inner, "a scale for each of " << blocks << " blocks along axis " << axis, scale.count(),
                     "Check block_size.");
      } else {
        HALO_REQUIRE(scale.count() == view.size, "a scale for each of " << view.size << " along axis " << axis, scale.count(), "Check axis.");
      }
    }
    HALO_REQUIRE(!zero.is_present() || zero.count() == scale.count(), "as many zero points as scales", zero.count(), "Check the zero points.");
    return dequantize(x.type, scale.type, x.data, scale.data, zero.data, launch.out(0, x.dims), layout, launch.stream());
  };
}

bool dequantizes(const NodeFacts& node) {
  return node.in.size() >= 2 && dequantize_supports(node.in[0], node.in[1]) && node.out[0] == node.in[1] &&
         (node.in.size() < 3 || node.in[2] == DType::kUndefined || node.in[2] == node.in[0]);
}

/// Y = A W^T + bias; for more than a few rows W (N, K) goes from its codes into work memory of the type of A.
Kernel make_mat_mul_n_bits(const NodeAttributes& attributes) {
  const PackedWeights weights{
      .n = attributes.integer("N", 0), .k = attributes.integer("K", 0), .block = attributes.integer("block_size", 0), .bits = attributes.integer("bits", 4)};
  return [=](Launch& launch) -> Status {
    const Tensor a = launch.in(0), codes = launch.in(1), scales = launch.in(2), zeros = launch.in(3), bias = launch.in(5);
    HALO_REQUIRE(a.dims.rank >= 1 && a.dims.sizes[a.dims.rank - 1] == weights.k, "rows of K = " << weights.k, a.dims.sizes[std::max(0, a.dims.rank - 1)],
                 "Check K.");
    HALO_REQUIRE(codes.count() == weights.n * weights.blocks() * (weights.block * weights.bits / 8) && scales.count() == weights.n * weights.blocks(),
                 weights.n * weights.blocks() << " blocks of codes and scales", codes.count() << " bytes and " << scales.count() << " scales",
                 "Check N, K, bits and block_size.");
    Dims dims = a.dims;
    dims.sizes[dims.rank - 1] = weights.n;
    void* y = launch.out(0, dims);
    const int64_t rows = a.count() / weights.k;
    const PackedMatrices packed{.matrices = {{.codes = codes.as<uint8_t>(), .scales = scales.data, .zeros = zeros.data, .bias = bias.data, .n = weights.n}},
                                .zero_type = zeros.type,
                                .k = weights.k,
                                .block = weights.block,
                                .bits = weights.bits};
    if (packed_products_support(rows, packed)) return packed_products(a.type, a.data, rows, packed, y, launch.stream());
    HALO_WORKSPACE(unpacked, launch, weights.n * weights.k * a.element_size());
    HALO_WORKSPACE(work, launch, LtProducts::kWorkspaceBytes);
    HALO_RETURN_IF_ERROR(unpack_weights(a.type, codes.as<uint8_t>(), scales.data, zeros.type, zeros.data, unpacked.data(), weights, launch.stream()));
    Product product{.type_a = a.type, .type_b = a.type, .type_y = a.type, .trans_b = true, .m = rows, .n = weights.n, .k = weights.k};
    if (bias.is_present()) {
      product.beta = 1;
      HALO_RETURN_IF_ERROR(expand(bias.element_size(), bias.data, bias.dims, y, dims, launch.stream()));
    }
    return launch.device().products().multiply(product, a.data, unpacked.data(), y, nullptr, nullptr, work.data(), work.bytes(), launch.stream());
  };
}

/// Zero points as codes or of the type of A; no order of groups (g_idx).
bool multiplies_codes(const NodeFacts& node) {
  const auto type_of = [&](size_t i) { return i < node.in.size() ? node.in[i] : DType::kUndefined; };
  const DType type = node.type();
  const int64_t bits = node.attributes.integer("bits", 4);
  return is_float(type) && type != DType::kDouble && type_of(1) == DType::kUInt8 && type_of(2) == type &&
         (type_of(3) == DType::kUndefined || type_of(3) == DType::kUInt8 || type_of(3) == type) && type_of(4) == DType::kUndefined &&
         (type_of(5) == DType::kUndefined || type_of(5) == type) && (bits == 2 || bits == 4 || bits == 8);
}

const KernelRows dequantize_kernels({
    {.type = "DequantizeLinear", .supports = dequantizes, .make = make_dequantize},
    {.type = "MatMulNBits", .supports = multiplies_codes, .make = make_mat_mul_n_bits, .domain = "com.microsoft"},
});

}  // namespace

}  // namespace halo::cuda
