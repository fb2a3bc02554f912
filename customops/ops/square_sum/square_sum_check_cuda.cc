#include "ops/square_sum/square_sum.h"

#include "check/cuda/device.h"

namespace halo::check::square_sum {

namespace {

template <class T>
void check_count(int64_t count) {
  const std::string what = std::string("square sum ") + name_of(dtype_of<T>()) + " " + std::to_string(count);
  const auto x = rounded<T>(normal(count, 1));
  float y = 0;
  square_sum_cpu(x.data(), &y, count, SerialExecutor());
  const OnDevice<T> x_device(x);
  const int64_t bytes = square_sum_workspace_cuda(count);
  const OnDevice<uint8_t> work(bytes);
  // Sums of float32 in pieces: a few units of a number that only grows.
  expect_all_near<float>(
      run_twice<float>(what, 1, [&](float* out) { return square_sum_cuda(dtype_of<T>(), x_device.data(), out, count, work.data(), bytes, nullptr); }),
      {static_cast<double>(y)}, [](double sum) { return 2e-6 * sum; }, what);
  work.download(what + " workspace");
}

}  // namespace

HALO_CHECK(cuda_square_sum_as_the_cpu, Memory::kShared) {
  for (const int64_t count : {1, 7, 1024, 5001, 70'000}) {
    for_floats([&]<class T>() { check_count<T>(count); });
  }
  if (!is_reduced()) check_count<BFloat16>(50'000'001);
}

}  // namespace halo::check::square_sum
