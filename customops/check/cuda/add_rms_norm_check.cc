// The residual sum and its norm against plain loops.
#include "check/cuda/device.h"
#include "provider/kernels/add_rms_norm.h"

namespace halo::check {

namespace {

template <class T>
void check_sum_and_norm(int64_t rows, int64_t columns) {
  constexpr double kEpsilon = 1e-5;
  const auto x = rounded_to<T>(rows * columns, 91), skip = rounded_to<T>(rows * columns, 92), weight = rounded_to<T>(columns, 93);
  const OnDevice<T> x_device(x), skip_device(skip), weight_device(weight);
  std::vector<double> sums, norms;
  for (int64_t row = 0; row < rows; ++row) {
    double squares = 0;
    for (int64_t i = 0; i < columns; ++i) {
      const auto at = static_cast<size_t>(row * columns + i);
      sums.push_back(real(from_float<T>(static_cast<float>(real(x[at])) + static_cast<float>(real(skip[at])))));
      squares += sums.back() * sums.back();
    }
    const double scale = 1 / std::sqrt(squares / static_cast<double>(columns) + kEpsilon);
    for (int64_t i = 0; i < columns; ++i) norms.push_back(sums[static_cast<size_t>(row * columns + i)] * scale * real(weight[static_cast<size_t>(i)]));
  }
  const std::string what = "sum and norm " + name_of_type<T>() + " of " + std::to_string(rows) + " x " + std::to_string(columns);
  const auto found = run_twice<T>(what, 2 * rows * columns, [&](T* out) {  // the sums, then the norms
    return cuda::add_rms_norm(type_of<T>(), x_device.data(), skip_device.data(), weight_device.data(), out, out + rows * columns, rows, columns,
                              static_cast<float>(kEpsilon), nullptr);
  });
  const std::vector<T> found_sums(found.begin(), found.begin() + rows * columns), found_norms(found.begin() + rows * columns, found.end());
  expect_all_near<T>(
      found_sums, sums, [](double) { return 0.0; }, what + ": sums");
  expect_all_near<T>(
      found_norms, norms, [](double v) { return within<T>(2)(v) + 2e-6 * std::fabs(v); }, what + ": norms");
}

}  // namespace

HALO_CHECK(cuda_sum_and_norm_as_plain_loops, Memory::kShared) {
  for_floats([]<class T>() {
    check_sum_and_norm<T>(1, 2048);
    check_sum_and_norm<T>(3, 36);   // packs of 16 bytes, of which the last warp has a few
    check_sum_and_norm<T>(2, 107);  // no whole packs
    if (!is_reduced()) check_sum_and_norm<T>(4, 16384);
    check_sum_and_norm<T>(1, 9000);  // more than a pack a thread
  });
}

}  // namespace halo::check
