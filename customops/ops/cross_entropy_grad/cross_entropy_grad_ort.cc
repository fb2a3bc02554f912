#include "ops/cross_entropy_grad/cross_entropy_grad.h"

#include "ops/binding.h"

namespace halo {

struct CrossEntropyGrad {
  static constexpr Schema schema{.name = "CrossEntropyGrad",
                                 .in = "dLoss: float, logits: T, labels: I, logSumExp: float",
                                 .out = "dLogits: T",
                                 .types = "T: float, float16, bfloat16; I: int64"};

  explicit CrossEntropyGrad(const Attributes& attributes) : ignored(attributes.integer("ignoreIndex", -100)) {}

  Status infer(Types in, ResultTypes out) const {
    const Shape &dloss = in[0].shape, &logits = in[1].shape, &labels = in[2].shape, &sums = in[3].shape;
    HALO_REQUIRE(dloss.rank() == 0, "dLoss []", dloss, "Give the gradient of CrossEntropy's loss.");
    HALO_REQUIRE(logits.rank() == 2, "logits (N, V)", logits, "Reshape them to rows.");
    HALO_REQUIRE(labels.may_equal({logits[0]}), "labels [" << logits[0] << "], one for each row of logits " << logits, labels, "Reshape them to one axis.");
    HALO_REQUIRE(sums.may_equal({logits[0]}), "logSumExp [" << logits[0] << "]", sums, "Give the second output of CrossEntropy.");
    out[0] = in[1];
    return {};
  }

  Status compute(Call& c) const {
    return dispatch(c.in(1).type, [&]<class T>() {
      return cross_entropy_grad_cpu(*c.data<float>(0), c.data<T>(1), c.data<int64_t>(2), c.data<float>(3), c.result<T>(0), c.in(1).shape[0], c.in(1).shape[1],
                                    ignored, c);
    });
  }

#ifdef HALO_CUDA
  Status compute_cuda(cuda::OpLaunch& c) const {
    HALO_WORKSPACE(work, c, cross_entropy_grad_workspace_cuda());
    return cross_entropy_grad_cuda(c.in(1).type, c.data<float>(0), c.data(1), c.data<int64_t>(2), c.data<float>(3), c.result(0), c.in(1).shape[0],
                                   c.in(1).shape[1], ignored, work.data(), c.stream());
  }
#endif

  int64_t ignored;
};

HALO_REGISTER_OP(CrossEntropyGrad);

}  // namespace halo
