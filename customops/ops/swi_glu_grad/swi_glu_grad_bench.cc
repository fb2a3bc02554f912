#include "ops/swi_glu_grad/swi_glu_grad.h"
#include "provider/benchmarks/bench.h"

namespace halo::cuda::bench {

HALO_BENCH(swi_glu_grad) {
  for_types([&]<class T>() {
    Array<T> dy(kCount), gate(kCount), up(kCount);
    const Array<T> dgate(kCount), dup(kCount);
    const Array<float> maxima(2);
    for (Array<T>* tensor : {&dy, &gate, &up}) fill_normal(*tensor);
    Array<uint8_t> codes(kCount);
    fill_codes<Int8>(codes);
    const Array<float> scales(std::vector<float>(static_cast<size_t>(code_blocks(kCount)), 0.02f));
    const double code_bytes = 2 * static_cast<double>(kCount + 4 * code_blocks(kCount));
    bench.time("swi_glu_grad of codes with maxima", name_of(dtype_of<T>()), shape_of({kRows, kColumns}), {.bytes = 3 * kTensorBytes<T> + code_bytes}, [&] {
      return swi_glu_grad_cuda(dtype_of<T>(), dy.data(), codes.data(), codes.data(), scales.data(), scales.data(), dgate.data(), dup.data(), nullptr,
                               maxima.data(), maxima.data() + 1, kCount, nullptr);
    });
    const Array<T> y(kCount);
    bench.time("swi_glu_grad with maxima and Y", name_of(dtype_of<T>()), shape_of({kRows, kColumns}), {.bytes = 6 * kTensorBytes<T>}, [&] {
      return swi_glu_grad_cuda(dtype_of<T>(), dy.data(), gate.data(), up.data(), nullptr, nullptr, dgate.data(), dup.data(), y.data(), maxima.data(),
                               maxima.data() + 1, kCount, nullptr);
    });
    for (const bool has_max : {false, true}) {
      bench.time(has_max ? "swi_glu_grad with maxima" : "swi_glu_grad", name_of(dtype_of<T>()), shape_of({kRows, kColumns}), {.bytes = 5 * kTensorBytes<T>},
                 [&] {
                   return swi_glu_grad_cuda(dtype_of<T>(), dy.data(), gate.data(), up.data(), nullptr, nullptr, dgate.data(), dup.data(), nullptr,
                                            has_max ? maxima.data() : nullptr, has_max ? maxima.data() + 1 : nullptr, kCount, nullptr);
                 });
    }
  });
}

}  // namespace halo::cuda::bench
