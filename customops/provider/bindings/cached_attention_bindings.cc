// com.microsoft.GroupQueryAttention: attention over a cache that it extends, with the rotation inside. [ONNX Runtime, ContribOperators.md]
#include <algorithm>
#include <cmath>

#include "provider/bindings/axes.h"
#include "provider/bindings/kernel.h"
#include "provider/kernels/heads.h"
#include "provider/kernels/masked_attention.h"
#include "provider/kernels/movement.h"

namespace halo::cuda {

namespace {

struct Settings {
  explicit Settings(const Attributes& attributes)
      : heads(attributes.integer("num_heads", 0)),
        groups(attributes.integer("kv_num_heads", 0)),
        window(attributes.integer("local_window_size", -1)),
        scale(attributes.real("scale", 0)),
        rotates(attributes.integer("do_rotary", 0) != 0),
        is_interleaved(attributes.integer("rotary_interleaved", 0) != 0) {}
  int64_t heads, groups, window;  // keys that a token sees, itself among them; -1: all
  float scale;
  bool rotates, is_interleaved;
};

/// The cache of `tokens` rows a head from the past one, zeros behind it; nothing to do where the caller gave both one buffer.
Status extend(const Launch& launch, const Tensor& past, void* present, const Dims& dims) {
  if (present == past.data) return {};
  const auto bytes = static_cast<size_t>(dims.count() * past.element_size());
  if (!past.is_present() || past.count() == 0) return HALO_CUDA_STATUS(cudaMemsetAsync(present, 0, bytes, launch.stream()));
  return pad(past.element_size(), PadMode::kConstant, past.data, past.dims, {}, nullptr, present, dims, launch.stream());
}

/// query (B, T, H D), key and value (B, T, G D), or all three side by side in query; past and present (B, G, S, D). Batch row b has seqlens_k[b] + 1 tokens
/// with these, its own at the end; in a prompt, where there is no past, they start at 0 and what follows them is padding.
Status run(const Settings& settings, Launch& launch) {
  const Tensor q = launch.in(0), k = launch.in(1), v = launch.in(2), lengths = launch.in(5), cos = launch.in(7), sin = launch.in(8), positions = launch.in(9);
  const int64_t heads = settings.heads, groups = settings.groups;
  const bool is_packed = !k.is_present();
  HALO_REQUIRE(q.dims.rank == 3 && heads > 0 && groups > 0 && heads % groups == 0, "query (B, T, H D) with H a multiple of the key/value heads",
               heads << " and " << groups << " heads", "Check num_heads and kv_num_heads.");
  const int64_t batch = q.dims.sizes[0], tokens = q.dims.sizes[1], width = q.dims.sizes[2], dim = width / (is_packed ? heads + 2 * groups : heads);
  HALO_REQUIRE(dim <= 256, "heads of up to 256 channels", dim, "Run it on the CPU.");
  HALO_REQUIRE(lengths.count() == batch, "seqlens_k of " << batch << " rows", lengths.count(), "Give the length of each row.");
  const Tensor past_k = launch.in(3), past_v = launch.in(4);
  const int64_t total = launch.in(6).integers()[0], past_tokens = past_k.is_present() ? past_k.dims.sizes[2] : 0, kept = std::max(total, past_tokens);
  const Dims cache{.rank = 4, .sizes = {batch, groups, kept, dim}};
  void *present_k = launch.out(1, cache), *present_v = launch.out(2, cache);
  HALO_REQUIRE(present_k != nullptr && present_v != nullptr, "present keys and values", "outputs left out", "Give the node its three outputs.");

  HALO_WORKSPACE(slot_work, launch, batch * tokens * size_of(DType::kInt64));
  HALO_WORKSPACE(q_work, launch, batch * heads * tokens * dim * q.element_size());
  HALO_WORKSPACE(y_work, launch, tokens > 1 ? q_work.bytes() : 0);
  auto* slots = static_cast<int64_t*>(slot_work.data());
  HALO_RETURN_IF_ERROR(cache_slots(lengths.as<int32_t>(), batch, tokens, tokens == total, slots, launch.stream()));
  HALO_RETURN_IF_ERROR(extend(launch, past_k, present_k, cache));
  HALO_RETURN_IF_ERROR(extend(launch, past_v, present_v, cache));

  Rotation rotation;
  if (settings.rotates) {
    rotation = {.cos = cos.data,
                .sin = sin.data,
                .turned = 2 * cos.dims.sizes[1],
                .rows = cos.dims.sizes[0],
                .positions = positions.is_present() ? positions.as<int64_t>() : slots,
                .is_interleaved = settings.is_interleaved};
  }
  const HeadSizes own{.batch = batch, .heads = heads, .tokens = tokens, .dim = dim}, shared{.batch = batch, .heads = groups, .tokens = tokens, .dim = dim};
  const HeadStrides by_query = by_token(tokens, width, dim), by_key = is_packed ? by_query : by_token(tokens, groups * dim, dim);
  const auto* packed = static_cast<const char*>(q.data);
  const void* keys = is_packed ? packed + heads * dim * q.element_size() : k.data;
  const void* values = is_packed ? packed + (heads + groups) * dim * q.element_size() : v.data;
  const HeadStrides in_cache = by_head(groups, kept, dim);
  HALO_RETURN_IF_ERROR(place_heads(q.type, q.data, by_query, q_work.data(), by_head(heads, tokens, dim), own, rotation, nullptr, tokens, launch.stream()));
  HALO_RETURN_IF_ERROR(place_heads(q.type, keys, by_key, present_k, in_cache, shared, rotation, slots, kept, launch.stream()));
  HALO_RETURN_IF_ERROR(place_heads(q.type, values, by_key, present_v, in_cache, shared, {}, slots, kept, launch.stream()));

  const AttentionSizes sizes{.batch = batch, .heads = heads, .groups = groups, .queries = tokens, .keys = kept, .dim = dim};
  const ScoreMask mask{.causal = true, .window = std::max<int64_t>(settings.window, 0), .past = slots, .past_step = tokens};
  void* y = launch.out(0, {.rank = 3, .sizes = {batch, tokens, heads * dim}});
  void* by_heads = tokens > 1 ? y_work.data() : y;  // of one token both orders are the same
  const float scale = settings.scale != 0 ? settings.scale : 1.0f / std::sqrt(static_cast<float>(dim));
  HALO_RETURN_IF_ERROR(masked_attention(q.type, q_work.data(), present_k, present_v, mask, by_heads, sizes, dim, scale, launch.stream()));
  if (by_heads == y) return {};
  return place_heads(q.type, by_heads, by_head(heads, tokens, dim), y, by_token(tokens, heads * dim, dim), own, {}, nullptr, tokens, launch.stream());
}

/// Neither caps of scores, sinks, biases nor quantized caches.
bool attends(const NodeFacts& node) {
  const auto type_of = [&](size_t i) { return i < node.in.size() ? node.in[i] : DType::kUndefined; };
  const DType type = node.type();
  for (size_t i = 10; i < node.in.size(); ++i) {
    if (node.in[i] != DType::kUndefined) return false;
  }
  for (const size_t i : {1, 2, 3, 4, 7, 8}) {
    if (type_of(i) != DType::kUndefined && type_of(i) != type) return false;
  }
  const Attributes& attributes = node.attributes;
  const bool has_tables = attributes.integer("do_rotary", 0) == 0 || (type_of(7) == type && type_of(8) == type);
  return is_float(type) && type != DType::kDouble && type_of(5) == DType::kInt32 && has_tables && attributes.integer("local_window_size", -1) != 0 &&
         attributes.real("softcap", 0) == 0 && attributes.integer("smooth_softmax", 0) <= 0;
}

const KernelRows rows({
    {.type = "GroupQueryAttention",
     .supports = attends,
     .make = [](const NodeAttributes& attributes) -> Kernel { return [settings = Settings(attributes)](Launch& launch) { return run(settings, launch); }; },
     .host_inputs = {6},
     .domain = "com.microsoft"},
});

}  // namespace

}  // namespace halo::cuda
