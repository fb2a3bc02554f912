// Attention, forward and backward, as graphs of cuDNN's operations: the forms whose engines are those of flash attention. [Dao 2023]
#pragma once

#include "common/head_layout.h"
#include "provider/cudnn/cudnn_graph.h"

namespace halo::cuda::cudnn {

/// Q, Y (B, H, T, D), K, V (B, G, S, D), the rows of D elements where the strides say; the type is kBFloat16 or kHalf.
struct AttentionGraphSizes {
  DataType type = kBFloat16;
  int64_t batch = 0, heads = 0, groups = 0, queries = 0, keys = 0, dim = 0;
  bool causal = true;
  /// Whether each batch row has lengths, (B) int32 on the device: keys beyond its own are hidden, queries beyond are not computed.
  bool has_lengths = false;
  /// Of Q, Y and their gradients; of K, V and theirs.
  HeadStrides query_strides = {}, key_strides = {};

  auto operator<=>(const AttentionGraphSizes&) const = default;
};

/// The tensors of a graph that have data.
struct AttentionTensors {
  GraphTensor q, k, v, y, log_sum_exp, scale, hidden, query_lengths, key_lengths;
  GraphTensor dy, dq, dk, dv, unit, delta;  // of the gradient
};

/// Y and the logarithm of the sum of exponentials, (B, H, T) float32.
AttentionTensors build_attention(GraphBuilder& graph, const AttentionGraphSizes& sizes);

/// dQ, dK and dV, the same bits in each run: dQ is a product of its own, of gradients of scores that the engine keeps in its workspace (2 B H T S bytes).
/// The form that adds to a float32 dQ with atomics needs no such memory, gives other bits in each run, and takes as long. Where heads share keys, the gradients
/// by head are rounded to the type before they are added: no engine takes float32 there. delta: (B, H, T) float32 of workspace.
AttentionTensors build_attention_gradient(GraphBuilder& graph, const AttentionGraphSizes& sizes);

}  // namespace halo::cuda::cudnn
