#include "ops/adam_w_8_bit/adam_w_8_bit.h"

#include "provider/benchmarks/bench.h"

namespace halo::cuda::bench {

namespace {

template <class T>
void time_adam_w_8_bit(Bench& bench) {
  Array<T> p(kCount), gradient(kCount);
  for (Array<T>* tensor : {&p, &gradient}) fill_normal(*tensor);
  Array<uint8_t> m(kCount), v(kCount);
  Array<float> m_scales(code_blocks(kCount)), v_scales(code_blocks(kCount));
  for (Array<uint8_t>* codes : {&m, &v}) codes->fill({uint8_t{0x38}});
  for (Array<float>* scales : {&m_scales, &v_scales}) scales->fill({0.01f});
  const Array<float> scalars(std::vector<float>{1.0f, 1e-6f, 1.0f});
  const Array<int64_t> numbers(std::vector<int64_t>{1, 0});
  const AdamW8BitTensors<T, T> tensors{
      p.data(), gradient.data(), p.data(), {m.data(), m_scales.data(), m.data(), m_scales.data()}, {v.data(), v_scales.data(), v.data(), v_scales.data()}};
  const AdamWStep step{scalars.data(), scalars.data() + 1, scalars.data() + 2, nullptr, numbers.data(), numbers.data() + 1, 0};
  bench.time("adam_w_8_bit", name_of(dtype_of<T>()), shape_of({kRows, kColumns}), {.bytes = 3 * kTensorBytes<T> + 4 * kCount + 16 * code_blocks(kCount)}, [&] {
    return adam_w_8_bit_cuda(tensors, step, {0.9f, 0.1f, 0.999f, 0.001f, 1e-8f}, kCount, nullptr);
  });
}

}  // namespace

HALO_BENCH(adam_w_8_bit) {
  time_adam_w_8_bit<float>(bench);
  time_adam_w_8_bit<BFloat16>(bench);
}

}  // namespace halo::cuda::bench
