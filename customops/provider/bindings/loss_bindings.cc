// SoftmaxCrossEntropyLoss, NegativeLogLikelihoodLoss.
#include "provider/kernels/loss.h"

#include "provider/bindings/axes.h"
#include "provider/bindings/kernel.h"

namespace halo::cuda {

namespace {

/// ignore_index may be any number, so that only two answers tell whether it is there.
struct LossSettings {
  explicit LossSettings(const Attributes& attributes)
      : has_ignored(attributes.integer("ignore_index", 0) == attributes.integer("ignore_index", 1)), ignored(attributes.integer("ignore_index", 0)) {
    const std::string text = attributes.text("reduction");
    reduction = text == "none" ? LossReduction::kNone : text == "sum" ? LossReduction::kSum : LossReduction::kMean;
  }
  bool has_ignored;
  int64_t ignored;
  LossReduction reduction;
};

/// scores (N, C, d1, ...), labels (N, d1, ...).
LossSizes loss_sizes(const Dims& scores) { return {.batch = scores.sizes[0], .classes = scores.sizes[1], .inner = scores.count(2, scores.rank)}; }

Kernel make_cross_entropy(const NodeAttributes& attributes) {
  return [settings = LossSettings(attributes)](Launch& launch) -> Status {
    const Tensor scores = launch.in(0), labels = launch.in(1), weights = launch.in(2);
    const LossSizes sizes = loss_sizes(scores.dims);
    HALO_WORKSPACE(work, launch, label_loss_workspace(sizes));
    void* loss = launch.out(0, settings.reduction == LossReduction::kNone ? labels.dims : Dims{});
    return softmax_cross_entropy_loss(scores.type, scores.data, {labels.data, labels.type}, weights.data, settings.has_ignored, settings.ignored,
                                      settings.reduction, loss, launch.out(1, scores.dims), sizes, work.data(), launch.stream());
  };
}

Kernel make_likelihood(const NodeAttributes& attributes) {
  return [settings = LossSettings(attributes)](Launch& launch) -> Status {
    const Tensor scores = launch.in(0), labels = launch.in(1), weights = launch.in(2);
    const LossSizes sizes = loss_sizes(scores.dims);
    HALO_WORKSPACE(work, launch, label_loss_workspace(sizes));
    void* loss = launch.out(0, settings.reduction == LossReduction::kNone ? labels.dims : Dims{});
    return negative_log_likelihood_loss(scores.type, scores.data, {labels.data, labels.type}, weights.data, settings.has_ignored, settings.ignored,
                                        settings.reduction, loss, sizes, work.data(), launch.stream());
  };
}

bool takes(const NodeFacts& node) { return node.in.size() >= 2 && is_float(node.in[0]) && is_index(node.in[1]); }

const KernelRows loss_kernels({
    {.type = "SoftmaxCrossEntropyLoss", .supports = takes, .make = make_cross_entropy},
    {.type = "NegativeLogLikelihoodLoss", .supports = takes, .make = make_likelihood},
});

}  // namespace

}  // namespace halo::cuda
