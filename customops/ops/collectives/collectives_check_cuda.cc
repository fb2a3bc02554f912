#include "check/cuda/device.h"
#include "check/cuda/limits.h"
#include "ops/collectives/collectives.h"

namespace halo::check::collectives {

namespace {

template <class T>
void check_combination(int64_t parts, int64_t count) {
  const auto x = numbers<T>(parts * count, 51, /*special=*/true);
  const OnDevice<T> x_device(x);
  for (const Reduction reduction : {Reduction::kSum, Reduction::kMax}) {
    const std::string what = std::string(reduction == Reduction::kSum ? "sum" : "largest") + " of " + std::to_string(parts) + " x " + std::to_string(count);
    std::vector<T> y(static_cast<size_t>(count));
    expect_success(combine_cpu(type_of<T>(), reduction, x.data(), parts, count, y.data()), what);
    const auto found = run_twice<T>(what, count, [&](T* out) { return combine_cuda(type_of<T>(), reduction, x_device.data(), parts, count, out, nullptr); });
    std::vector<double> expected;
    for (const T v : y) expected.push_back(real(v));
    expect_all_near<T>(
        found, expected, [](double) { return 0; }, what);
  }
}

}  // namespace

HALO_CHECK(cuda_combinations_as_the_cpu) {
  for_floats([]<class T>() {
    check_combination<T>(1, 7);
    check_combination<T>(4, 1001);
  });
  check_combination<int32_t>(3, 300);
  check_combination<int64_t>(2, 300);
}

HALO_CHECK(limits_of_combinations_are_named) {
  expect_refused(combine_cuda(DType::kInt8, Reduction::kSum, none, 2, 8, nowhere, nullptr), "a tensor of float, bfloat16, float16, int32, int64", "int8");
}

}  // namespace halo::check::collectives
