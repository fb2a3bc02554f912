#include "ops/adam_w/adam_w.h"
#include "provider/benchmarks/bench.h"

namespace halo::cuda::bench {

HALO_BENCH(adam_w) {
  Array<float> p(kCount), gradient(kCount), m(kCount), v(kCount);
  for (Array<float>* tensor : {&p, &gradient, &m, &v}) fill_normal(*tensor);
  v.fill({0.5f});
  const Array<float> factor(std::vector<float>{1.0f}), step_size(std::vector<float>{1e-6f}), root2(std::vector<float>{1.0f});
  const AdamWTensors tensors{p.data(), gradient.data(), m.data(), v.data(), p.data(), m.data(), v.data()};
  const AdamWStep step{factor.data(), step_size.data(), root2.data(), nullptr};
  bench.time("adam_w", "float", shape_of({kRows, kColumns}), {.bytes = 7 * kTensorBytes<float>}, [&] {
    return adam_w_cuda(tensors, step, {0.9f, 0.1f, 0.999f, 0.001f, 1e-8f}, kCount, nullptr);
  });
}

}  // namespace halo::cuda::bench
