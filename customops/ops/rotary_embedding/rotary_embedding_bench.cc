#include "ops/rotary_embedding/rotary_embedding.h"
#include "provider/benchmarks/bench.h"

namespace halo::cuda::bench {

HALO_BENCH(rotary_embedding) {
  for_types([&]<class T>() {
    const RotarySizes sizes{.batch = kBatch, .heads = kHeads, .tokens = kTokens, .dim = kDim, .positions = kTokens};
    Array<T> x(kCount);
    const Array<T> y(kCount);
    Array<float> angles(kTokens * kDim / 2);
    fill_normal(x);
    fill_normal(angles);
    bench.time("rotary_embedding", name_of(dtype_of<T>()), shape_of({kBatch, kHeads, kTokens, kDim}), {.bytes = 2 * kTensorBytes<T>},
               [&] { return rotary_embedding_cuda(dtype_of<T>(), x.data(), angles.data(), angles.data(), nullptr, y.data(), sizes, false, nullptr); });
  });
}

}  // namespace halo::cuda::bench
