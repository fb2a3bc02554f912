#include "ops/square_sum/square_sum.h"
#include "provider/benchmarks/bench.h"

namespace halo::cuda::bench {

namespace {

template <class T>
void time_square_sum(Bench& bench) {
  Array<T> x(kCount);
  fill_normal(x);
  const Array<float> y(1);
  const int64_t bytes = square_sum_workspace_cuda(kCount);
  const Array<uint8_t> work(bytes);
  bench.time("square_sum", name_of(dtype_of<T>()), shape_of({kRows, kColumns}), {.bytes = kTensorBytes<T>},
             [&] { return square_sum_cuda(dtype_of<T>(), x.data(), y.data(), kCount, work.data(), bytes, nullptr); });
}

}  // namespace

HALO_BENCH(square_sum) {
  time_square_sum<float>(bench);
  time_square_sum<BFloat16>(bench);
}

}  // namespace halo::cuda::bench
