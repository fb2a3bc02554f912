// ONNX's SoftmaxCrossEntropyLoss and NegativeLogLikelihoodLoss.
#pragma once

#include "provider/kernels/tensor.h"

namespace halo::cuda {

enum class LossReduction { kNone, kSum, kMean };

struct LossSizes {
  int64_t batch, classes, inner;  // scores (batch, classes, inner), labels (batch, inner)
};

/// Bytes of workspace for both losses.
int64_t label_loss_workspace(const LossSizes& sizes);

/// loss = reduction of -weight[label] * log_softmax(scores)[label] over labels that are not `ignored`; the mean divides by the sum of the weights. In
/// float32 (double in double), summed in float64 in a fixed order. `weights` (classes) and log_probabilities (as scores) may be null; without an ignored
/// label give has_ignored = false. Another label that is no class makes the loss NaN. Float types. At most 2^31 - 1 rows
/// (batch inner).
Status softmax_cross_entropy_loss(DType type, const void* scores, const Indices& labels, const void* weights, bool has_ignored, int64_t ignored,
                                  LossReduction reduction, void* loss, void* log_probabilities, const LossSizes& sizes, void* workspace, cudaStream_t stream);

/// The same of inputs that are logarithms of probabilities already.
Status negative_log_likelihood_loss(DType type, const void* log_probabilities, const Indices& labels, const void* weights, bool has_ignored, int64_t ignored,
                                    LossReduction reduction, void* loss, const LossSizes& sizes, void* workspace, cudaStream_t stream);

}  // namespace halo::cuda
