#include "ops/rms_norm_grad/rms_norm_grad.h"

#include "check/cuda/device.h"
#include "check/cuda/limits.h"
#include "common/absolute_max.h"
#include "ops/rms_norm/rms_norm.h"

namespace halo::check::rms_norm_grad {

namespace {

const SerialExecutor kSerial;

template <class T>
void check_gradient(int64_t rows, int64_t columns, bool adds = false) {
  const auto x = numbers<T>(rows * columns, 31), weight = numbers<T>(columns, 32), dy = numbers<T>(rows * columns, 33), addend = numbers<T>(rows * columns, 34);
  std::vector<T> y(x.size()), dx(x.size()), dweight(weight.size());
  std::vector<float> inv_rms(static_cast<size_t>(rows)), partial(static_cast<size_t>(rms_norm_grad_partials(rows, columns)));
  rms_norm_cpu(x.data(), weight.data(), y.data(), inv_rms.data(), rows, columns, 1e-5f, kSerial);
  rms_norm_grad_cpu(dy.data(), x.data(), weight.data(), inv_rms.data(), adds ? addend.data() : nullptr, dx.data(), dweight.data(), rows, columns,
                    partial.data(), kSerial);
  const OnDevice<T> x_device(x), weight_device(weight), dy_device(dy), addend_device(addend);
  const OnDevice<float> absmax_device(1);
  const OnDevice<float> inv_given(inv_rms);
  const std::string what = "rms norm " + name_of_type<T>() + " " + std::to_string(rows) + " x " + std::to_string(columns) + (adds ? " added to" : "");
  const OnDevice<uint8_t> workspace(rms_norm_grad_workspace_cuda(rows, columns));
  const OnDevice<T> dweight_device(columns);
  const auto gradient = [&](T* dx_out, T* dweight_out) {
    return rms_norm_grad_cuda(type_of<T>(), dy_device.data(), x_device.data(), weight_device.data(), inv_given.data(), adds ? addend_device.data() : nullptr,
                              dx_out, dweight_out, absmax_device.data(), rows, columns, workspace.data(), nullptr);
  };
  // Outliers of 300 make single terms large: sums of them in float32 are off by units of these.
  const auto dx_found = run_twice<T>(what + " dx", rows * columns, [&](T* out) { return gradient(out, dweight_device.data()); });
  expect_all_near<T>(dx_found, reals(dx), beside<T>(64, 1000), what + " dx");
  float absmax = 0;
  absolute_max_cpu(dx_found.data(), rows * columns, &absmax, kSerial);
  expect(absmax_device.download(what)[0] == absmax, what + " absmax");
  const OnDevice<T> dx_device(rows * columns);
  const auto dweight_found = run_twice<T>(what + " dweight", columns, [&](T* out) { return gradient(dx_device.data(), out); });
  expect_all_near<T>(dweight_found, reals(dweight), beside<T>(64, 1000 * std::sqrt(static_cast<double>(rows))), what + " dweight");
  workspace.download(what + " workspace");
}

}  // namespace

HALO_CHECK(cuda_rms_norm_grad_as_the_cpu, Memory::kShared) {
  for_floats([]<class T>() {
    for (const int64_t columns : {1, 7, 64, 96, 256, 1000, 1536, 2048, 4096}) check_gradient<T>(5, columns);
    check_gradient<T>(1300, 64);  // more rows than pieces
    check_gradient<T>(1200, 96, true);
    check_gradient<T>(5, 1000, true);
    check_gradient<T>(3, 12288, true);
    check_gradient<T>(3, 20480);  // more than registers hold in any type
    check_gradient<T>(3, 20480, true);
    if (is_reduced()) return;
    check_gradient<T>(3000, 1536, true);
    check_gradient<T>(2000, 2048, true);
    check_gradient<T>(600, 4096, true);
  });
}

HALO_CHECK(limits_of_rms_norm_grad_are_named) {
  const int64_t columns = int64_t{1} << 20;
  expect_refused(rms_norm_grad_cuda(kFloat, none, none, none, no_floats, nullptr, nowhere, nowhere, nullptr, 1, columns, nowhere, nullptr), "at most ",
                 "1048576");
}

}  // namespace halo::check::rms_norm_grad
