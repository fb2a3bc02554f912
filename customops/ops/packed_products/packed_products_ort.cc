#include "ops/binding.h"
#include "ops/packed_products/packed_products.h"

namespace halo {

struct PackedProducts {
  static constexpr Schema schema{.name = "PackedProducts",
                                 .in =
                                     "A: T, codes0: uint8, scales0: T, zeros0?: uint8, bias0?: T, codes1?: uint8, scales1?: T, zeros1?: uint8, bias1?: T, "
                                     "codes2?: uint8, scales2?: T, zeros2?: uint8, bias2?: T",
                                 .out = "Y: T",
                                 .types = "T: float, float16, bfloat16"};
  static constexpr int kInputs = 4;  // of a factor

  explicit PackedProducts(const Attributes& attributes)
      : bits(attributes.integer("bits", 4)), block(attributes.integer("block_size", 32)), is_gated(attributes.integer("gated", 0) != 0) {}

  Status infer(Types in, ResultTypes out) const {
    HALO_REQUIRE(bits == 2 || bits == 4 || bits == 8, "bits of 2, 4 or 8", bits, "Correct the attribute bits.");
    HALO_REQUIRE(block > 0 && block * bits % 8 == 0, "blocks of whole bytes", block, "Correct the attribute block_size.");
    const Shape& a = in[0].shape;
    HALO_REQUIRE(a.rank() >= 1 && a[-1] != 0, "A (..., K)", a, "Reshape it to rows.");
    int64_t columns = 0;
    for (int i = 0; i < count_of(in); ++i) {
      const Shape& codes = in[first(i)].shape;
      HALO_REQUIRE(codes.rank() == 3, "codes (N, blocks, bytes)", codes, "Code a matrix in blocks along K.");
      HALO_REQUIRE(in[first(i) + 1].present && in[first(i) + 2].present == in[3].present, "scales of each matrix, and zeros of all or none",
                   "matrix " << i << " without", "Give them.");
      HALO_REQUIRE(!is_gated || i == 0 || Shape::may_equal(codes[0], in[1].shape[0]), "two matrices of one N for a gated product", codes[0],
                   "Give gate and up of one size.");
      HALO_RETURN_IF_ERROR(check(in, i, codes[0], a[-1]));
      columns = i > 0 && (columns < 0 || codes[0] < 0) ? -1 : columns + codes[0];
    }
    HALO_REQUIRE(!is_gated || count_of(in) == 2, "two matrices for a gated product", count_of(in), "Give gate and up.");
    std::vector<int64_t> sizes(a.sizes().begin(), a.sizes().end());
    sizes.back() = is_gated ? in[1].shape[0] : columns;
    out[0] = {.type = in[0].type, .shape = Shape(std::span<const int64_t>(sizes))};
    return {};
  }

  Status compute(Call& c) const {
    const int64_t k = c.in(0).shape[-1];
    return dispatch(c.in(0).type, [&]<class T>() { packed_products_cpu(c.data<T>(0), c.in(0).shape.count() / k, factors(c, k), c.result<T>(0), c); });
  }

#ifdef HALO_CUDA
  Status compute_cuda(cuda::OpLaunch& c) const {
    const int64_t k = c.in(0).shape[-1], rows = c.in(0).shape.count() / k;
    const PackedFactors all = factors(c, k);
    HALO_WORKSPACE(work, c, packed_products_workspace_cuda(c.in(0).type, rows, all));
    return packed_products_cuda(c.device().products(), c.in(0).type, c.data(0), rows, all, c.result(0), work.data(), work.bytes(), c.stream());
  }
#endif

  static size_t first(int i) { return static_cast<size_t>(1 + kInputs * i); }

  template <class Tensors>
  static int count_of(const Tensors& in) {
    int count = 1;
    while (count < kMostFactors && in[first(count)].present) ++count;
    return count;
  }

  /// That codes, scales, zeros and bias of a matrix are of its sizes; blocks are as many as K has where it is known.
  Status check(Types in, int i, int64_t n, int64_t k) const {
    const int64_t blocks = k < 0 ? in[first(i)].shape[1] : (k + block - 1) / block;
    const Shape wanted[] = {{n, blocks, block * bits / 8}, {n, blocks}, {n, blocks < 0 ? blocks : (blocks * bits + 7) / 8}, {n}};
    for (size_t j = 0; j < kInputs; ++j) {
      const TensorType& x = in[first(i) + j];
      HALO_REQUIRE(!x.present || x.shape.may_equal(wanted[j]), schema_name(j) << " " << wanted[j], x.shape, "Code whole blocks of rows.");
    }
    return {};
  }

  static const char* schema_name(size_t j) { return j == 0 ? "codes" : j == 1 ? "scales" : j == 2 ? "zeros" : "bias"; }

  template <class C>
  PackedFactors factors(C& c, int64_t k) const {
    PackedFactors made{.all = {}, .count = 0, .k = k, .block = block, .bits = bits, .is_gated = is_gated};
    for (; made.count < kMostFactors && c.in(static_cast<int>(first(made.count))).present; ++made.count) {
      const int at = static_cast<int>(first(made.count));
      const auto given = [&](int i) { return c.in(i).present; };
      made.all[static_cast<size_t>(made.count)] = {.codes = c.template data<uint8_t>(at),
                                                   .scales = bytes(c, at + 1),
                                                   .zeros = given(at + 2) ? c.template data<uint8_t>(at + 2) : nullptr,
                                                   .bias = given(at + 3) ? bytes(c, at + 3) : nullptr,
                                                   .n = c.in(at).shape[0]};
    }
    return made;
  }

  template <class C>
  static const void* bytes(C& c, int i) {
    return c.template data<uint8_t>(i);
  }

  int64_t bits, block;
  bool is_gated;
};

HALO_REGISTER_OP(PackedProducts);

}  // namespace halo
