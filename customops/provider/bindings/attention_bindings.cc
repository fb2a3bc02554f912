// ONNX's RotaryEmbedding and Attention. [opset 23]
#include <cmath>

#include "provider/bindings/axes.h"
#include "provider/bindings/kernel.h"
#include "provider/kernels/heads.h"
#include "provider/kernels/masked_attention.h"

namespace halo::cuda {

namespace {

bool is_16_or_32(DType type) { return FloatTypes::has(type); }

/// X (B, H, T, D), or (B, T, H D) with the number of heads; cos and sin (P, D/2) with positions (B, T), else (B, T, D/2).
Kernel make_rotary(const NodeAttributes& attributes) {
  return [given = attributes.integer("num_heads", 0), turned = attributes.integer("rotary_embedding_dim", 0),
          is_interleaved = attributes.integer("interleaved", 0) != 0](Launch& launch) -> Status {
    const Tensor x = launch.in(0), cos = launch.in(1), sin = launch.in(2), positions = launch.in(3);
    const bool is_by_head = x.dims.rank == 4;
    HALO_REQUIRE(is_by_head || (x.dims.rank == 3 && given > 0), "X (B, H, T, D), or (B, T, H D) and num_heads", x.dims.rank << " axes", "Reshape it to heads.");
    const int64_t heads = is_by_head ? x.dims.sizes[1] : given, tokens = x.dims.sizes[is_by_head ? 2 : 1];
    const int64_t width = x.dims.sizes[x.dims.rank - 1], dim = is_by_head ? width : width / heads;
    const HeadSizes sizes{.batch = x.dims.sizes[0], .heads = heads, .tokens = tokens, .dim = dim};
    Rotation rotation{.cos = cos.data,
                      .sin = sin.data,
                      .turned = turned > 0 ? turned : dim,
                      .rows = cos.dims.count(0, cos.dims.rank - 1),
                      .batch_rows = tokens,
                      .positions = positions.as<int64_t>(),
                      .is_interleaved = is_interleaved};
    HALO_REQUIRE(cos.dims == sin.dims && 2 * cos.dims.sizes[cos.dims.rank - 1] == rotation.turned && rotation.turned <= dim,
                 "tables of half of the " << rotation.turned << " channels that turn", cos.dims.sizes[cos.dims.rank - 1], "Check rotary_embedding_dim.");
    if (positions.is_present()) {
      HALO_REQUIRE(positions.count() == sizes.batch * tokens, "positions (B, T), " << sizes.batch * tokens << " of them", positions.count(),
                   "Expand them to the batch.");
    } else {
      HALO_REQUIRE(rotation.rows == sizes.batch * tokens || rotation.rows == tokens, "angles of each of " << sizes.batch << " x " << tokens << " tokens",
                   rotation.rows, "Give positions, or expand the tables.");
      if (rotation.rows == tokens) rotation.batch_rows = 0;
    }
    const HeadStrides strides = is_by_head ? by_head(heads, tokens, dim) : by_token(tokens, width, dim);
    return place_heads(x.type, x.data, strides, launch.out(0, x.dims), strides, sizes, rotation, nullptr, tokens, launch.stream());
  };
}

bool rotates(const NodeFacts& node) {
  return is_16_or_32(node.type()) && node.in.size() >= 3 && node.in[1] == node.type() && node.in[2] == node.type() &&
         (node.in.size() < 4 || node.in[3] == DType::kUndefined || node.in[3] == DType::kInt64);
}

/// Q, K or V as (B, heads, tokens, D).
struct Heads {
  HeadSizes sizes;
  bool is_by_token = false;

  int64_t count() const { return sizes.batch * sizes.heads * sizes.tokens * sizes.dim; }
  HeadStrides by_head() const { return halo::by_head(sizes.heads, sizes.tokens, sizes.dim); }
  HeadStrides by_token() const { return halo::by_token(sizes.tokens, sizes.heads * sizes.dim, sizes.dim); }
  /// Bytes of a copy by head, 0 where there is no need of one.
  int64_t copy_bytes(DType type) const { return is_by_token && sizes.heads > 1 && sizes.tokens > 1 ? count() * size_of(type) : 0; }
};

Status heads_of(const Tensor& x, int64_t heads, const char* attribute, Heads* result) {
  const int64_t* sizes = x.dims.sizes;
  HALO_REQUIRE(x.dims.rank == 4 || (x.dims.rank == 3 && heads > 0 && sizes[2] % heads == 0), "(B, H, T, D), or (B, T, H D) and " << attribute,
               x.dims.rank << " axes", "Reshape it to heads.");
  *result = x.dims.rank == 4 ? Heads{{.batch = sizes[0], .heads = sizes[1], .tokens = sizes[2], .dim = sizes[3]}, false}
                             : Heads{{.batch = sizes[0], .heads = heads, .tokens = sizes[1], .dim = sizes[2] / heads}, true};
  return {};
}

/// x itself, or its copy in `work`.
Status brought_by_head(const Launch& launch, const Tensor& x, const Heads& heads, void* work, const void** result) {
  *result = work == nullptr ? x.data : work;
  if (work == nullptr) return {};
  return place_heads(x.type, x.data, heads.by_token(), work, heads.by_head(), heads.sizes, {}, nullptr, heads.sizes.tokens, launch.stream());
}

Status mask_of(const Tensor& x, const AttentionSizes& sizes, ScoreMask* mask) {
  if (!x.is_present()) return {};
  const int64_t full[4] = {sizes.batch, sizes.heads, sizes.queries, sizes.keys};
  mask->values = x.data;
  mask->is_bool = x.type == DType::kBool;
  HALO_REQUIRE(x.dims.rank <= 4, "a mask of at most 4 axes", x.dims.rank, "Reshape it.");
  int64_t stride = 1;
  for (int axis = x.dims.rank - 1; axis >= 0; --axis) {
    const int64_t size = x.dims.sizes[axis], whole = full[axis + 4 - x.dims.rank];
    HALO_REQUIRE(size == 1 || size == whole, "a mask that broadcasts to (B, H, T, S), there " << whole, size, "Expand the mask.");
    mask->strides[axis + 4 - x.dims.rank] = size == 1 ? 0 : stride;
    stride *= size;
  }
  return {};
}

Kernel make_attention(const NodeAttributes& attributes) {
  return [q_heads = attributes.integer("q_num_heads", 0), kv_heads = attributes.integer("kv_num_heads", 0), scale = attributes.real("scale", NAN),
          is_causal = attributes.integer("is_causal", 0) != 0](Launch& launch) -> Status {
    const Tensor q = launch.in(0), k = launch.in(1), v = launch.in(2);
    Heads q_view, k_view, v_view;
    HALO_RETURN_IF_ERROR(heads_of(q, q_heads, "q_num_heads", &q_view));
    HALO_RETURN_IF_ERROR(heads_of(k, kv_heads, "kv_num_heads", &k_view));
    HALO_RETURN_IF_ERROR(heads_of(v, kv_heads, "kv_num_heads", &v_view));
    const HeadSizes &a = q_view.sizes, &b = k_view.sizes;
    const int64_t value_dim = v_view.sizes.dim;
    HALO_REQUIRE(b.dim == a.dim && std::max(a.dim, value_dim) <= 256, "keys as wide as queries, and heads of up to 256 channels",
                 a.dim << ", " << b.dim << " and " << value_dim, "Split the heads.");
    HALO_REQUIRE(v_view.sizes.tokens == b.tokens && v_view.sizes.heads == b.heads, "a value for each key", v_view.sizes.tokens << " for " << b.tokens,
                 "Check the projections.");
    HALO_REQUIRE(b.heads > 0 && a.heads % b.heads == 0, "heads that are a multiple of the key/value heads", a.heads << " and " << b.heads, "Check the heads.");
    const AttentionSizes sizes{.batch = a.batch, .heads = a.heads, .groups = b.heads, .queries = a.tokens, .keys = b.tokens, .dim = a.dim};
    ScoreMask mask{.causal = is_causal};
    HALO_RETURN_IF_ERROR(mask_of(launch.in(3), sizes, &mask));
    HALO_WORKSPACE(q_copy, launch, q_view.copy_bytes(q.type));
    HALO_WORKSPACE(k_copy, launch, k_view.copy_bytes(k.type));
    HALO_WORKSPACE(v_copy, launch, v_view.copy_bytes(v.type));
    Heads y_view = q_view;
    y_view.sizes.dim = value_dim;
    HALO_WORKSPACE(y_copy, launch, y_view.copy_bytes(q.type));
    const void *q_data, *k_data, *v_data;
    HALO_RETURN_IF_ERROR(brought_by_head(launch, q, q_view, q_copy.data(), &q_data));
    HALO_RETURN_IF_ERROR(brought_by_head(launch, k, k_view, k_copy.data(), &k_data));
    HALO_RETURN_IF_ERROR(brought_by_head(launch, v, v_view, v_copy.data(), &v_data));
    Dims dims = q.dims;
    dims.sizes[dims.rank - 1] = q_view.is_by_token ? a.heads * value_dim : value_dim;
    void* y = launch.out(0, dims);
    void* own = y_copy.data() == nullptr ? y : y_copy.data();
    const float factor = std::isnan(scale) ? 1.0f / std::sqrt(static_cast<float>(a.dim)) : scale;
    HALO_RETURN_IF_ERROR(masked_attention(q.type, q_data, k_data, v_data, mask, own, sizes, value_dim, factor, launch.stream()));
    if (own == y) return {};
    return place_heads(q.type, own, y_view.by_head(), y, y_view.by_token(), y_view.sizes, {}, nullptr, a.tokens, launch.stream());
  };
}

/// Without a cache, which is GroupQueryAttention's, a cap of the scores, and the scores as an output.
bool attends(const NodeFacts& node) {
  for (size_t i = 4; i < node.in.size(); ++i) {
    if (node.in[i] != DType::kUndefined) return false;
  }
  for (size_t i = 1; i < node.out.size(); ++i) {
    if (node.out[i] != DType::kUndefined) return false;
  }
  const DType type = node.type(), mask = node.in.size() > 3 ? node.in[3] : DType::kUndefined;
  return is_16_or_32(type) && node.in[1] == type && node.in[2] == type && (mask == DType::kUndefined || mask == DType::kBool || mask == type) &&
         node.attributes.real("softcap", 0) == 0;
}

const KernelRows attention_kernels({
    {.type = "RotaryEmbedding", .supports = rotates, .make = make_rotary},
    {.type = "Attention", .supports = attends, .make = make_attention},
});

}  // namespace

}  // namespace halo::cuda
