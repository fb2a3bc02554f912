#include "ops/dropout/dropout.h"

#include "check/cuda/device.h"

namespace halo::check::dropout {

namespace {

template <class T>
void check_dropout(int64_t count, int64_t seed, int64_t step, uint32_t stream_number, float ratio) {
  const auto x = numbers<T>(count, 51);
  std::vector<T> y(x.size());
  dropout_cpu(x.data(), y.data(), count, {static_cast<uint64_t>(seed), static_cast<uint32_t>(step), stream_number}, DropoutRule(ratio), SerialExecutor());
  const OnDevice<T> x_device(x);
  const OnDevice<int64_t> counters(std::vector<int64_t>{seed, step});
  const std::string what = "dropout " + name_of_type<T>() + " of " + std::to_string(count);
  const auto found = run_twice<T>(what, count, [&](T* out) {
    return dropout_cuda(type_of<T>(), x_device.data(), out, count, counters.data(), counters.data() + 1, stream_number, DropoutRule(ratio), nullptr);
  });
  expect_all_near<T>(
      found, reals(y), [](double) { return 0.0; }, what);
}

}  // namespace

HALO_CHECK(cuda_dropout_has_the_bits_of_the_cpu) {
  for_floats([]<class T>() {
    for (const int64_t count : {1, 4, 13, 4096}) check_dropout<T>(count, int64_t{-3} << 35, (int64_t{1} << 32) + 5, 4, 0.1f);
    if (!is_reduced()) check_dropout<T>(300003, 1, 1, 0xFFFFFFFF, 0.5f);
  });
}

}  // namespace halo::check::dropout
