#include "ops/weighted_sum/weighted_sum.h"

#include "check/cuda/device.h"

namespace halo::check::weighted_sum {

namespace {

template <class S, class T>
void check_count(int64_t count, int64_t skipped, float kept = 0.75f) {
  const std::string what = std::string("weighted sum ") + name_of(dtype_of<S>()) + " and " + name_of(dtype_of<T>()) + " " + std::to_string(count) + " from " +
                           std::to_string(skipped);
  const auto x = rounded<T>(normal(count + skipped, 1));
  const auto sum = rounded<S>(normal(count + skipped, 2));
  const std::vector<float> factors{kept, 0.3f};
  const std::vector<int64_t> numbers{70'001, (int64_t{3} << 32) + 9};
  const auto scalars = [](const float* at, const int64_t* number) {
    return WeightedSumScalars{.keep = at, .weight = at + 1, .chance = {.step = number, .seed = number + 1, .tensor = 7}};
  };
  std::vector<S> expected(static_cast<size_t>(count));
  weighted_sum_cpu(sum.data() + skipped, x.data() + skipped, scalars(factors.data(), numbers.data()), expected.data(), count, SerialExecutor());
  const OnDevice<T> x_device(x);
  const OnDevice<S> sum_device(sum);
  const OnDevice<float> factors_device(factors);
  const OnDevice<int64_t> numbers_device(numbers);
  const auto on_device = scalars(factors_device.data(), numbers_device.data());
  const auto found = run_twice<S>(what, count, [&](S* out) {
    return weighted_sum_cuda(dtype_of<T>(), sum_device.data() + skipped, x_device.data() + skipped, on_device, out, count, nullptr);
  });
  expect(__builtin_memcmp(found.data(), expected.data(), expected.size() * sizeof(S)) == 0, what + ": the bits of the CPU");
  expect_success(
      weighted_sum_cuda(dtype_of<T>(), sum_device.data() + skipped, x_device.data() + skipped, on_device, sum_device.data() + skipped, count, nullptr), what);
  const auto in_place = sum_device.download(what);
  expect(__builtin_memcmp(in_place.data() + skipped, expected.data(), expected.size() * sizeof(S)) == 0, what + ": in place");
}

}  // namespace

HALO_CHECK(cuda_weighted_sum_has_the_bits_of_the_cpu) {
  for_floats([]<class T>() {
    for (const int64_t count : {1, 7, 8, 5001, 70'000}) {
      check_count<float, T>(count, 0);
      check_count<BFloat16, T>(count, 0);
    }
    check_count<float, T>(1003, 1);  // not aligned
    check_count<BFloat16, T>(1003, 1);
    check_count<float, T>(1003, 0, 0.0f);  // not kept
    check_count<BFloat16, T>(1003, 0, 0.0f);
  });
}

}  // namespace halo::check::weighted_sum
