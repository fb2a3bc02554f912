#include "ops/rotary_embedding/rotary_embedding.h"
#include "provider/benchmarks/bench.h"

namespace halo::cuda::bench {

HALO_BENCH(rotary_embedding) {
  for_types([&]<class T>() {
    const RotarySizes sizes{.batch = kBatch, .heads = kHeads, .tokens = kTokens, .dim = kDim, .positions = kTokens};
    Array<T> x(kCount);
    const Array<T> y(kCount);
    const Array<float> absmax(1);
    Array<float> angles(kTokens * kDim / 2);
    fill_normal(x);
    fill_normal(angles);
    for (float* const largest : {static_cast<float*>(nullptr), absmax.data()}) {
      bench.time(largest == nullptr ? "rotary_embedding" : "rotary_embedding with maximum", name_of(dtype_of<T>()), shape_of({kBatch, kHeads, kTokens, kDim}),
                 {.bytes = 2 * kTensorBytes<T>}, [&] {
                   return rotary_embedding_cuda(dtype_of<T>(), x.data(), angles.data(), angles.data(), nullptr, y.data(), largest, sizes, false, nullptr);
                 });
    }
  });
}

}  // namespace halo::cuda::bench
