#include "ops/absolute_max/absolute_max.h"

#include "check/cuda/device.h"

namespace halo::check::absolute_max {

namespace {

template <class T>
void check_count(int64_t count, bool special) {
  const std::string what = std::string("absolute max ") + name_of(dtype_of<T>()) + " " + std::to_string(count);
  const auto x = numbers<T>(count, 1, special);
  float y = 0;
  absolute_max_cpu(x.data(), count, &y, SerialExecutor());
  const OnDevice<T> x_device(x);
  expect_all_near<float>(
      run_twice<float>(what, 1, [&](float* out) { return absolute_max_cuda(dtype_of<T>(), x_device.data(), out, count, nullptr); }), {static_cast<double>(y)},
      [](double) { return 0; }, what);
}

}  // namespace

HALO_CHECK(cuda_absolute_max_as_the_cpu) {
  for (const int64_t count : {1, 7, 1024, 5001, 70'000}) {
    for_floats([&]<class T>() {
      check_count<T>(count, /*special=*/false);
      check_count<T>(count, /*special=*/true);
    });
  }
  if (!is_reduced()) check_count<BFloat16>(50'000'001, /*special=*/false);
}

}  // namespace halo::check::absolute_max
