#include "ops/cross_entropy_grad/cross_entropy_grad.h"

#include "check/cuda/device.h"
#include "check/cuda/limits.h"
#include "ops/cross_entropy/cross_entropy.h"

namespace halo::check::cross_entropy_grad {

namespace {

const SerialExecutor kSerial;

template <class T>
void check_gradient(int64_t rows, int64_t classes) {
  const auto logits = numbers<T>(rows * classes, 41);
  std::vector<int64_t> labels;
  for (int64_t i = 0; i < rows; ++i) labels.push_back(i % 4 == 1 ? -100 : i * 37 % classes);
  std::vector<float> sums(static_cast<size_t>(rows));
  std::vector<double> row_losses(static_cast<size_t>(rows));
  std::vector<T> dlogits(logits.size());
  float loss = 0;
  const Status status = cross_entropy_cpu(logits.data(), labels.data(), &loss, sums.data(), rows, classes, -100, row_losses.data(), kSerial);
  const Status grad_status = cross_entropy_grad_cpu(0.5f, logits.data(), labels.data(), sums.data(), dlogits.data(), rows, classes, -100, kSerial);
  expect(status.ok() && grad_status.ok(), status.message());
  const OnDevice<T> logits_device(logits);
  OnDevice<int64_t> labels_device(labels);
  const OnDevice<float> sums_given(sums), dloss(std::vector<float>{0.5f});
  const OnDevice<uint8_t> workspace(cross_entropy_grad_workspace_cuda());
  const std::string what = "cross entropy gradient " + name_of_type<T>() + " " + std::to_string(rows) + " x " + std::to_string(classes);
  const auto gradient = [&](T* out) {
    return cross_entropy_grad_cuda(type_of<T>(), dloss.data(), logits_device.data(), labels_device.data(), sums_given.data(), out, rows, classes, -100,
                                   workspace.data(), nullptr);
  };
  expect_all_near<T>(
      run_twice<T>(what, rows * classes, gradient), reals(dlogits), [](double v) { return beside<T>(1024)(v) + 1e-7; }, what);
  labels[0] = classes;
  labels_device.upload(labels);
  expect(std::isnan(real(run_twice<T>(what, rows * classes, gradient)[0])), what + ": a label out of range");
}

}  // namespace

HALO_CHECK(cuda_cross_entropy_grad_as_the_cpu, Memory::kShared) {
  for_floats([]<class T>() {
    check_gradient<T>(5, 2);
    check_gradient<T>(72, 256);
    check_gradient<T>(9, 1003);
    check_gradient<T>(3, 20000);  // several steps of a block
    if (!is_reduced()) check_gradient<T>(64, 32000);
  });
}

HALO_CHECK(limits_of_cross_entropy_grad_are_named) {
  expect_refused(cross_entropy_grad_cuda(kFloat, no_floats, none, no_labels, no_floats, nowhere, kTooMany, 1, -100, nowhere, nullptr),
                 "at most 2147483647 rows", "2147483648");
}

}  // namespace halo::check::cross_entropy_grad
