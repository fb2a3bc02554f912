#include "ops/weighted_sum/weighted_sum.h"

#include "check/cuda/device.h"

namespace halo::check {

namespace {

template <class T>
void check_count(int64_t count, int64_t skipped) {
  const std::string what = std::string("weighted sum ") + name_of(dtype_of<T>()) + " " + std::to_string(count) + " from " + std::to_string(skipped);
  const auto x = rounded<T>(normal(count + skipped, 1));
  const auto sum = rounded<float>(normal(count + skipped, 2));
  const std::vector<float> keep{0.75f}, weight{0.3f};
  std::vector<float> expected(static_cast<size_t>(count));
  weighted_sum_cpu(sum.data() + skipped, x.data() + skipped, keep.data(), weight.data(), expected.data(), count, SerialExecutor());
  const OnDevice<T> x_device(x);
  const OnDevice<float> sum_device(sum), keep_device(keep), weight_device(weight);
  const auto found = run_twice<float>(what, count, [&](float* out) {
    return weighted_sum_cuda(dtype_of<T>(), sum_device.data() + skipped, x_device.data() + skipped, keep_device.data(), weight_device.data(), out, count,
                             nullptr);
  });
  expect(found == expected, what + ": the bits of the CPU");
}

}  // namespace

HALO_CHECK(cuda_weighted_sum_has_the_bits_of_the_cpu) {
  for (const int64_t count : {1, 7, 8, 5001, 70'000}) {
    for_floats([&]<class T>() { check_count<T>(count, 0); });
  }
  for_floats([&]<class T>() { check_count<T>(1003, 1); });  // not aligned
}

}  // namespace halo::check
