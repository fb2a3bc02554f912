#include "ops/rms_norm/rms_norm.h"

#include "check/cuda/device.h"
#include "check/cuda/limits.h"
#include "common/absolute_max.h"

namespace halo::check::rms_norm {

namespace {

const SerialExecutor kSerial;

template <class T>
void check_rms_norm(int64_t rows, int64_t columns) {
  const auto x = numbers<T>(rows * columns, 31), weight = numbers<T>(columns, 32);
  std::vector<T> y(x.size());
  std::vector<float> inv_rms(static_cast<size_t>(rows));
  rms_norm_cpu(x.data(), weight.data(), y.data(), inv_rms.data(), rows, columns, 1e-5f, kSerial);
  const OnDevice<T> x_device(x), weight_device(weight);
  const OnDevice<float> inv_device(rows), absmax_device(1);
  const std::string what = "rms norm " + name_of_type<T>() + " " + std::to_string(rows) + " x " + std::to_string(columns);
  const auto found = run_twice<T>(what, rows * columns, [&](T* out) {
    return rms_norm_cuda(type_of<T>(), x_device.data(), weight_device.data(), out, inv_device.data(), absmax_device.data(), rows, columns, 1e-5f, nullptr);
  });
  expect_all_near<T>(found, reals(y), beside<T>(16), what);
  float absmax = 0;
  absolute_max_cpu(found.data(), rows * columns, &absmax, kSerial);
  expect(absmax_device.download(what)[0] == absmax, what + " absmax");
  expect_all_near<float>(inv_device.download(what), reals(inv_rms), within<float>(16), what + " inverse");
}

}  // namespace

HALO_CHECK(cuda_rms_norm_as_the_cpu, Memory::kShared) {
  for_floats([]<class T>() {
    for (const int64_t columns : {1, 7, 64, 96, 256, 1000, 4096}) check_rms_norm<T>(5, columns);
    check_rms_norm<T>(700, 64);
    check_rms_norm<T>(3, 12288);
    check_rms_norm<T>(3, 20480);  // more than registers hold in any type
    if (!is_reduced()) check_rms_norm<T>(6000, 4096);
  });
}

HALO_CHECK(limits_of_rms_norm_are_named) {
  expect_refused(rms_norm_cuda(kFloat, none, none, nowhere, no_floats, nullptr, kTooMany, 1, 1e-5f, nullptr), "at most 2147483647 rows", "2147483648");
  expect_refused(rms_norm_cuda(DType::kDouble, none, none, nowhere, no_floats, nullptr, 1, 8, 1e-5f, nullptr), kFloatTensors, "double");
}

}  // namespace halo::check::rms_norm
