// What Attention and AttentionGrad ask of their inputs.
#pragma once

#include <cmath>

#include "common/head_shapes.h"
#include "common/visibility.h"

namespace halo {

/// q (B, H, T, D), k and v (B, G, S, D), as by_head gives them, mask (B, S), documents (B, T); S = T if causal or with documents; a window only if causal.
inline Status check_attention(const Shape& q, const Shape& k, const Shape& v, const TensorType& mask, const TensorType& documents, bool causal,
                              int64_t window) {
  HALO_REQUIRE(q.rank() == 4, "Q (B, H, T, D)", q, "Reshape it to heads.");
  HALO_REQUIRE(k.may_equal({q[0], Shape::kUnknown, Shape::kUnknown, q[3]}), "K (B, G, S, D) for Q " << q, k, "Reshape it to heads.");
  HALO_REQUIRE(v.may_equal(k), "V of the shape of K " << k, v, "Check the projections.");
  HALO_REQUIRE(q[1] == Shape::kUnknown || k[1] == Shape::kUnknown || (k[1] > 0 && q[1] % k[1] == 0), "heads that are a multiple of the key/value heads",
               q[1] << " and " << k[1], "Check the number of heads.");
  HALO_REQUIRE(!(causal || documents.present) || Shape::may_equal(q[2], k[2]), "as many keys as queries where causal or with documents",
               k[2] << " and " << q[2], "Set causal to 0, or give the keys of the queries.");
  HALO_REQUIRE(window == 0 || (window > 0 && causal), "a window of 1 key or more in a causal attention, or none",
               window << (causal ? " where causal" : " where not causal"), "Set window to 0.");
  HALO_REQUIRE(!mask.present || mask.shape.may_equal({k[0], k[2]}), "mask (B, S) for K " << k, mask.shape, "Expand it to the batch.");
  HALO_REQUIRE(!documents.present || documents.shape.may_equal({q[0], q[2]}), "documentIds (B, T) for Q " << q, documents.shape, "Expand them to the batch.");
  return {};
}

inline AttentionSizes attention_sizes(const Shape& q, const Shape& k, HeadLayout layout) {
  const Shape queries = by_head(q, layout), keys = by_head(k, layout);
  return {.batch = queries[0], .heads = queries[1], .groups = keys[1], .queries = queries[2], .keys = keys[2], .dim = queries[3], .layout = layout};
}

/// The factor of the scores: 0 stands for D^(-1/2).
inline float attention_scale(float attribute, const AttentionSizes& sizes) {
  return attribute != 0 ? attribute : 1.0f / std::sqrt(static_cast<float>(sizes.dim));
}

}  // namespace halo
