#include "ops/cross_entropy/cross_entropy.h"

#include "ops/binding.h"

namespace halo {

struct CrossEntropy {
  static constexpr Schema schema{
      .name = "CrossEntropy", .in = "logits: T, labels: I", .out = "loss: float, logSumExp: float", .types = "T: float, float16, bfloat16; I: int64"};

  explicit CrossEntropy(const Attributes& attributes) : ignored(attributes.integer("ignoreIndex", -100)) {}

  Status infer(Types in, ResultTypes out) const {
    const Shape &logits = in[0].shape, &labels = in[1].shape;
    HALO_REQUIRE(logits.rank() == 2, "logits (N, V)", logits, "Reshape them to rows.");
    HALO_REQUIRE(labels.may_equal({logits[0]}), "labels [" << logits[0] << "], one for each row of logits " << logits, labels, "Reshape them to one axis.");
    out[0] = {.type = DType::kFloat, .shape = {}};
    out[1] = {.type = DType::kFloat, .shape = {logits[0]}};
    return {};
  }

  Status compute(Call& c) const {
    const int64_t rows = c.in(0).shape[0], classes = c.in(0).shape[1];
    const auto row_losses = c.scratch<double>(rows);
    return dispatch(c.in(0).type, [&]<class T>() {
      return cross_entropy_cpu(c.data<T>(0), c.data<int64_t>(1), c.result<float>(0), c.result<float>(1), rows, classes, ignored, row_losses.data(), c);
    });
  }

#ifdef HALO_CUDA
  Status compute_cuda(cuda::OpLaunch& c) const {
    const int64_t rows = c.in(0).shape[0], classes = c.in(0).shape[1];
    HALO_WORKSPACE(work, c, cross_entropy_workspace_cuda(rows));
    return cross_entropy_cuda(c.in(0).type, c.data(0), c.data<int64_t>(1), c.result<float>(0), c.result<float>(1), rows, classes, ignored, work.data(),
                              c.stream());
  }
#endif

  int64_t ignored;
};

HALO_REGISTER_OP(CrossEntropy);

}  // namespace halo
