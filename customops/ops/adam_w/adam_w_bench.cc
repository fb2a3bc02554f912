#include "ops/adam_w/adam_w.h"
#include "provider/benchmarks/bench.h"

namespace halo::cuda::bench {

namespace {

template <class T>
void time_adam_w(Bench& bench) {
  Array<T> p(kCount), gradient(kCount), m(kCount), v(kCount);
  for (Array<T>* tensor : {&p, &gradient, &m}) fill_normal(*tensor);
  v.fill({from_float<T>(0.5f)});
  const Array<float> scalars(std::vector<float>{1.0f, 1e-6f, 1.0f});
  const Array<int64_t> numbers(std::vector<int64_t>{1, 0});
  const AdamWTensors<T, T> tensors{p.data(), gradient.data(), m.data(), v.data(), p.data(), m.data(), v.data()};
  const AdamWStep step{scalars.data(), scalars.data() + 1, scalars.data() + 2, nullptr, numbers.data(), numbers.data() + 1, 0};
  bench.time("adam_w", name_of(dtype_of<T>()), shape_of({kRows, kColumns}), {.bytes = 7 * kTensorBytes<T>}, [&] {
    return adam_w_cuda(tensors, step, {0.9f, 0.1f, 0.999f, 0.001f, 1e-8f}, kCount, nullptr);
  });
}

}  // namespace

HALO_BENCH(adam_w) {
  time_adam_w<float>(bench);
  time_adam_w<BFloat16>(bench);
}

}  // namespace halo::cuda::bench
