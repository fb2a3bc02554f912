#include "ops/dropout/dropout.h"

#include "ops/binding.h"

namespace halo {

struct Dropout {
  static constexpr Schema schema{.name = "Dropout", .in = "X: T, seed: I, step: I", .out = "Y: T", .types = "T: float, float16, bfloat16; I: int64"};

  explicit Dropout(const Attributes& attributes) : ratio(attributes.real("ratio", -1)), stream(attributes.integer("stream", 0)) {}

  Status infer(Types in, ResultTypes out) const {
    HALO_REQUIRE(ratio >= 0 && ratio < 1, "a ratio from 0 below 1", ratio, "Give the share of elements to drop.");
    HALO_REQUIRE(stream >= 0 && stream <= int64_t{0xFFFFFFFF}, "a stream from 0 below 2^32", stream, "Number the nodes of the graph.");
    for (size_t i = 1; i < 3; ++i) HALO_REQUIRE(in[i].shape.rank() == 0, "seed and step []", in[i].shape, "Reshape them to no axis.");
    out[0] = in[0];
    return {};
  }

  Status compute(Call& c) const {
    const PhiloxStream random{static_cast<uint64_t>(*c.data<int64_t>(1)), static_cast<uint32_t>(*c.data<int64_t>(2)), static_cast<uint32_t>(stream)};
    return dispatch(c.in(0).type, [&]<class T>() { dropout_cpu(c.data<T>(0), c.result<T>(0), c.in(0).shape.count(), random, DropoutRule(ratio), c); });
  }

#ifdef HALO_CUDA
  Status compute_cuda(cuda::OpLaunch& c) const {
    return dropout_cuda(c.in(0).type, c.data(0), c.result(0), c.in(0).shape.count(), c.data<int64_t>(1), c.data<int64_t>(2), static_cast<uint32_t>(stream),
                        DropoutRule(ratio), c.stream());
  }
#endif

  float ratio;
  int64_t stream;
};

HALO_REGISTER_OP(Dropout);

}  // namespace halo
