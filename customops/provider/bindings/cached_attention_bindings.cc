// com.microsoft.GroupQueryAttention: attention over a cache that it extends, with the rotation inside. [ONNX Runtime, ContribOperators.md]
#include <algorithm>
#include <cmath>

#include "provider/bindings/axes.h"
#include "provider/bindings/kernel.h"
#include "provider/kernels/cached_attention.h"
#include "provider/kernels/heads.h"
#include "provider/kernels/masked_attention.h"
#include "provider/kernels/movement.h"

namespace halo::cuda {

namespace {

struct CacheSettings {
  explicit CacheSettings(const Attributes& attributes)
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

/// A run's tensors: query (B, T, H D), key and value (B, T, G D), or all three side by side in query; past and present (B, G, S, D).
struct Step {
  Tensor q, lengths;
  int64_t batch, heads, groups, tokens, dim, kept, total;  // kept: S
  int64_t q_row, k_row;                                    // elements from one token to the next
  const void *keys, *values;                               // of the new tokens
  void *present_k, *present_v, *y;
  Rotation rotation;
  float scale;
  int64_t window;  // 0: none
};

/// One token a row, behind others.
Status attend_step(const Step& s, const CachedSizes& sizes, Launch& launch) {
  HALO_WORKSPACE(turned, launch, s.batch * s.heads * s.dim * s.q.element_size());
  HALO_WORKSPACE(pieces, launch, attend_token_workspace(sizes));
  const auto* lengths = s.lengths.as<int32_t>();
  const NewToken token{
      .q = s.q.data, .k = s.keys, .v = s.values, .q_row = s.q_row, .k_row = s.k_row, .turned_q = turned.data(), .keys = s.present_k, .values = s.present_v};
  HALO_RETURN_IF_ERROR(append_token(s.q.type, token, lengths, s.rotation, sizes, launch.stream()));
  return attend_token(s.q.type, turned.data(), s.present_k, s.present_v, lengths, s.window, s.y, sizes, s.scale, pieces.data(), launch.stream());
}

/// Any number of tokens. In a prompt, where all tokens are new, they start at 0, and what follows those of a row is padding.
Status attend_prompt(const Step& s, Launch& launch) {
  HALO_WORKSPACE(slot_work, launch, s.batch * s.tokens * size_of(DType::kInt64));
  HALO_WORKSPACE(q_work, launch, s.batch * s.heads * s.tokens * s.dim * s.q.element_size());
  HALO_WORKSPACE(y_work, launch, s.tokens > 1 ? q_work.bytes() : 0);
  auto* slots = static_cast<int64_t*>(slot_work.data());
  const DType type = s.q.type;
  HALO_RETURN_IF_ERROR(cache_slots(s.lengths.as<int32_t>(), s.batch, s.tokens, s.tokens == s.total, slots, launch.stream()));
  Rotation rotation = s.rotation;
  if (rotation.positions == nullptr) rotation.positions = slots;
  const HeadSizes own{.batch = s.batch, .heads = s.heads, .tokens = s.tokens, .dim = s.dim};
  const HeadSizes shared{.batch = s.batch, .heads = s.groups, .tokens = s.tokens, .dim = s.dim};
  const HeadStrides by_query = by_token(s.tokens, s.q_row, s.dim), by_key = by_token(s.tokens, s.k_row, s.dim);
  const HeadStrides in_heads = by_head(s.heads, s.tokens, s.dim), in_cache = by_head(s.groups, s.kept, s.dim);
  HALO_RETURN_IF_ERROR(place_heads(type, s.q.data, by_query, q_work.data(), in_heads, own, rotation, nullptr, s.tokens, launch.stream()));
  HALO_RETURN_IF_ERROR(place_heads(type, s.keys, by_key, s.present_k, in_cache, shared, rotation, slots, s.kept, launch.stream()));
  HALO_RETURN_IF_ERROR(place_heads(type, s.values, by_key, s.present_v, in_cache, shared, {}, slots, s.kept, launch.stream()));

  const AttentionSizes sizes{.batch = s.batch, .heads = s.heads, .groups = s.groups, .queries = s.tokens, .keys = s.kept, .dim = s.dim};
  const ScoreMask mask{.causal = true, .window = s.window, .past = slots, .past_step = s.tokens};
  void* by_heads = s.tokens > 1 ? y_work.data() : s.y;  // of one token both orders are the same
  HALO_RETURN_IF_ERROR(masked_attention(type, q_work.data(), s.present_k, s.present_v, mask, by_heads, sizes, s.dim, s.scale, launch.stream()));
  if (by_heads == s.y) return {};
  return place_heads(type, by_heads, in_heads, s.y, by_token(s.tokens, s.heads * s.dim, s.dim), own, {}, nullptr, s.tokens, launch.stream());
}

/// Batch row b has seqlens_k[b] + 1 tokens with the new ones, which are its last.
Status run(const CacheSettings& settings, Launch& launch) {
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
  const auto* packed = static_cast<const char*>(q.data);
  Step step{.q = q,
            .lengths = lengths,
            .batch = batch,
            .heads = heads,
            .groups = groups,
            .tokens = tokens,
            .dim = dim,
            .kept = kept,
            .total = total,
            .q_row = width,
            .k_row = is_packed ? width : groups * dim,
            .keys = is_packed ? packed + heads * dim * q.element_size() : k.data,
            .values = is_packed ? packed + (heads + groups) * dim * q.element_size() : v.data,
            .present_k = launch.out(1, cache),
            .present_v = launch.out(2, cache),
            .y = launch.out(0, {.rank = 3, .sizes = {batch, tokens, heads * dim}}),
            .rotation = {},
            .scale = settings.scale != 0 ? settings.scale : 1.0f / std::sqrt(static_cast<float>(dim)),
            .window = std::max<int64_t>(settings.window, 0)};
  HALO_REQUIRE(step.present_k != nullptr && step.present_v != nullptr, "present keys and values", "outputs left out", "Give the node its three outputs.");
  if (settings.rotates) {
    step.rotation = {.cos = cos.data,
                     .sin = sin.data,
                     .turned = 2 * cos.dims.sizes[1],
                     .rows = cos.dims.sizes[0],
                     .positions = positions.as<int64_t>(),
                     .is_interleaved = settings.is_interleaved};
  }
  HALO_RETURN_IF_ERROR(extend(launch, past_k, step.present_k, cache));
  HALO_RETURN_IF_ERROR(extend(launch, past_v, step.present_v, cache));
  const CachedSizes sizes{.batch = batch, .heads = heads, .groups = groups, .slots = kept, .dim = dim};
  return tokens == 1 && total > 1 && attend_token_supports(sizes) ? attend_step(step, sizes, launch) : attend_prompt(step, launch);
}

/// Neither caps of scores, sinks, biases nor quantized caches.
bool attends_to_cache(const NodeFacts& node) {
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

const KernelRows cached_attention_kernels({
    {.type = "GroupQueryAttention",
     .supports = attends_to_cache,
     .make = [](const NodeAttributes& attributes) -> Kernel {
       return [settings = CacheSettings(attributes)](Launch& launch) { return run(settings, launch); };
     },
     .host_inputs = {6},
     .domain = "com.microsoft"},
});

}  // namespace

}  // namespace halo::cuda
