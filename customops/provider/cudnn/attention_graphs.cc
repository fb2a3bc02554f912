#include "provider/cudnn/attention_graphs.h"

namespace halo::cuda::cudnn {

namespace {

Sizes by_query(const AttentionGraphSizes& s) { return {s.batch, s.heads, s.queries, s.dim}; }
Sizes by_key(const AttentionGraphSizes& s) { return {s.batch, s.groups, s.keys, s.dim}; }
Sizes strides_of(const HeadStrides& s) { return {s.batch, s.head, s.token, 1}; }
Sizes scores_of(const AttentionGraphSizes& s) { return {s.batch, s.heads, s.queries, s.keys}; }
Sizes row_of(const AttentionGraphSizes& s) { return {s.batch, s.heads, s.queries, 1}; }

GraphTensor given_by_query(GraphBuilder& g, const AttentionGraphSizes& s) { return g.given(s.type, by_query(s), strides_of(s.query_strides)); }
GraphTensor given_by_key(GraphBuilder& g, const AttentionGraphSizes& s) { return g.given(s.type, by_key(s), strides_of(s.key_strides)); }

/// As (B, G, D, S).
GraphTensor given_swapped(GraphBuilder& g, const AttentionGraphSizes& s) { return g.given(s.type, swapped(by_key(s)), swapped(strides_of(s.key_strides))); }

AttentionTensors given(GraphBuilder& g, const AttentionGraphSizes& s) {
  AttentionTensors t;
  const Sizes lengths = {s.batch, 1, 1, 1};
  t.q = given_by_query(g, s);
  t.k = given_swapped(g, s);
  t.scale = g.number(kFloat);
  if (s.causal || s.has_lengths) t.hidden = g.number(kFloat);
  if (s.has_lengths) t.query_lengths = g.given(kInt32, lengths, {1, 1, 1, 1}), t.key_lengths = g.given(kInt32, lengths, {1, 1, 1, 1});
  return t;
}

/// The position along an axis of each score. `precision`: as the engines' patterns have it.
GraphTensor index(GraphBuilder& g, const GraphTensor& scores, int64_t axis, DataType precision) {
  const GraphTensor y = g.between(kInt32, scores.sizes);
  g.pointwise(kIndex, scores, {}, {}, y, precision, axis);
  return y;
}

GraphTensor truth(GraphBuilder& g, int mode, const GraphTensor& a, const GraphTensor& b) {
  const GraphTensor y = g.between(kBoolean, a.sizes);
  g.pointwise(mode, a, b, {}, y, kBoolean);
  return y;
}

/// The scores where `seen` holds, -Inf elsewhere.
GraphTensor shown(GraphBuilder& g, const GraphTensor& scores, const GraphTensor& seen, const GraphTensor& hidden) {
  const GraphTensor y = g.between(kFloat, scores.sizes);
  g.pointwise(kSelect, scores, hidden, seen, y);
  return y;
}

GraphTensor within_lengths(GraphBuilder& g, const AttentionTensors& t, const GraphTensor& scores) {
  const GraphTensor row = index(g, scores, 2, kInt32), column = index(g, scores, 3, kInt32);
  const GraphTensor has_row = truth(g, kLess, row, t.query_lengths), has_column = truth(g, kLess, column, t.key_lengths);
  return shown(g, scores, truth(g, kAnd, has_row, has_column), t.hidden);
}

GraphTensor not_ahead(GraphBuilder& g, const AttentionTensors& t, const GraphTensor& scores) {
  const GraphTensor row = index(g, scores, 2, kFloat), column = index(g, scores, 3, kFloat);
  return shown(g, scores, truth(g, kGreaterOrEqual, row, column), t.hidden);
}

GraphTensor reduced(GraphBuilder& g, int op, const GraphTensor& x, const Sizes& sizes) {
  const GraphTensor y = g.between(kFloat, sizes);
  g.reduce(op, x, y);
  return y;
}

/// The gradient of keys or values: weights (B, H, S, T) times rows (B, H, T, D), summed over the heads that share them.
GraphTensor by_group(GraphBuilder& g, const AttentionGraphSizes& s, const AttentionTensors& t, const GraphTensor& weights, const GraphTensor& rows) {
  const GraphTensor y = given_by_key(g, s);
  const ProductLengths lengths = {t.key_lengths, {}, t.query_lengths};
  if (s.heads == s.groups) return g.multiply(weights, rows, y, lengths), y;
  const GraphTensor by_head = g.between(s.type, {s.batch, s.heads, s.keys, s.dim});
  g.multiply(weights, rows, by_head, lengths);
  g.reduce(kSum, by_head, y);
  return y;
}

/// (B, H, T, S) float32 as (B, H, S, T) of the tensors' type.
GraphTensor turned(GraphBuilder& g, const AttentionGraphSizes& s, const GraphTensor& x) {
  const GraphTensor y = g.between(s.type, swapped(x.sizes), swapped(dense(x.sizes)));
  g.view(x, y);
  return y;
}

}  // namespace

AttentionTensors build_attention(GraphBuilder& g, const AttentionGraphSizes& s) {
  AttentionTensors t = given(g, s);
  t.v = given_by_key(g, s);
  const GraphTensor products = g.between(kFloat, scores_of(s));
  g.multiply(t.q, t.k, products, {t.query_lengths, t.key_lengths, {}});
  GraphTensor scores = g.pointwise(kMul, products, t.scale);
  if (s.has_lengths) scores = within_lengths(g, t, scores);
  if (s.causal) scores = not_ahead(g, t, scores);
  const GraphTensor largest = reduced(g, kMax, scores, row_of(s));
  const GraphTensor exponentials = g.pointwise(kExp, g.pointwise(kSub, scores, largest));
  const GraphTensor sum = reduced(g, kSum, exponentials, row_of(s));
  t.log_sum_exp = g.given(kFloat, row_of(s), dense(row_of(s)));
  g.pointwise(kAdd, largest, g.pointwise(kLog, sum), {}, t.log_sum_exp);
  const GraphTensor probabilities = g.between(s.type, scores_of(s));
  g.pointwise(kDiv, exponentials, sum, {}, probabilities);
  t.y = given_by_query(g, s);
  g.multiply(probabilities, t.v, t.y, {t.query_lengths, {}, t.key_lengths});
  return t;
}

AttentionTensors build_attention_gradient(GraphBuilder& g, const AttentionGraphSizes& s) {
  AttentionTensors t = given(g, s);
  t.v = given_swapped(g, s);
  t.y = given_by_query(g, s);
  t.dy = given_by_query(g, s);
  t.log_sum_exp = g.given(kFloat, row_of(s), dense(row_of(s)));
  t.unit = g.number(kFloat);
  t.delta = g.given(kFloat, row_of(s), dense(row_of(s)));
  const ProductLengths by_score = {t.query_lengths, t.key_lengths, {}};

  const GraphTensor sums = reduced(g, kSum, g.pointwise(kMul, t.dy, t.y), row_of(s));
  g.pointwise(kMul, sums, t.unit, {}, t.delta);

  const GraphTensor products = g.between(kFloat, scores_of(s));
  g.multiply(t.q, t.k, products, by_score);
  GraphTensor scores = g.pointwise(kMul, products, t.scale);
  if (s.has_lengths) scores = within_lengths(g, t, scores);
  scores = g.pointwise(kSub, scores, t.log_sum_exp);
  if (s.causal) scores = not_ahead(g, t, scores);
  const GraphTensor p = g.pointwise(kExp, scores);
  t.dv = by_group(g, s, t, turned(g, s, p), t.dy);

  const GraphTensor dp = g.between(kFloat, scores_of(s));
  g.multiply(t.dy, t.v, dp, by_score);
  const GraphTensor ds = g.pointwise(kMul, g.pointwise(kMul, g.pointwise(kSub, dp, t.delta), p), t.scale);
  t.dk = by_group(g, s, t, turned(g, s, ds), t.q);

  const GraphTensor keys = g.between(kFloat, by_key(s), strides_of(s.key_strides));
  g.view(t.k, keys);
  t.dq = given_by_query(g, s);
  g.multiply(ds, keys, t.dq, {t.query_lengths, {}, t.key_lengths});
  return t;
}

}  // namespace halo::cuda::cudnn
