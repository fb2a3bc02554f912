// The places of largest elements against a plain loop.
#include <limits>

#include "check/cuda/device.h"
#include "provider/kernels/arg_max.h"

namespace halo::check {

namespace {

int64_t plain_arg_max(const float* row, int64_t columns) {
  int64_t best = 0;
  for (int64_t i = 0; i < columns; ++i) {
    if (std::isnan(row[i])) return i;
    if (row[i] > row[best]) best = i;
  }
  return best;
}

template <class T>
void check_arg_max(std::vector<T> x, int64_t rows, int64_t columns, const std::string& what) {
  const OnDevice<T> x_device(x);
  const OnDevice<uint8_t> work(cuda::arg_max_workspace(rows, columns));
  OnDevice<int64_t> y(rows);
  expect_success(cuda::arg_max(type_of<T>(), x_device.data(), y.data(), rows, columns, work.data(), nullptr), what);
  const auto found = y.download(what);
  std::vector<float> wide;
  for (const T v : x) wide.push_back(static_cast<float>(real(v)));
  for (int64_t row = 0; row < rows; ++row) {
    const int64_t expected = plain_arg_max(wide.data() + row * columns, columns), own = found[static_cast<size_t>(row)];
    expect(own == expected, what + ": column " + std::to_string(own) + " of row " + std::to_string(row) + " and not " + std::to_string(expected));
  }
}

}  // namespace

HALO_CHECK(cuda_arg_max_as_a_plain_loop, Memory::kShared) {
  for_floats([]<class T>() {
    const std::string name = "arg max " + name_of_type<T>();
    for (const int64_t columns : {1, 7, 256, 4096, 9001}) check_arg_max(rounded_to<T>(3 * columns, 41), 3, columns, name + " of " + std::to_string(columns));
    check_arg_max(std::vector<T>(9000, from_float<T>(-2.0f)), 1, 9000, name + " of equal elements");
    auto x = rounded_to<T>(2 * 9000, 42);
    x[8000] = x[5] = from_float<T>(std::numeric_limits<float>::quiet_NaN());
    x[9000] = from_float<T>(std::numeric_limits<float>::infinity());
    check_arg_max(x, 2, 9000, name + " with NaN and Inf");
  });
}

}  // namespace halo::check
