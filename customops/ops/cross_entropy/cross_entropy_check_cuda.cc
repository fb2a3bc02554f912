#include "ops/cross_entropy/cross_entropy.h"

#include "check/cuda/device.h"
#include "check/cuda/limits.h"

namespace halo::check::cross_entropy {

namespace {

const SerialExecutor kSerial;

template <class T>
void check_cross_entropy(int64_t rows, int64_t classes) {
  const auto logits = numbers<T>(rows * classes, 41);
  std::vector<int64_t> labels;
  for (int64_t i = 0; i < rows; ++i) labels.push_back(i % 4 == 1 ? -100 : i * 37 % classes);
  std::vector<float> sums(static_cast<size_t>(rows));
  std::vector<double> row_losses(static_cast<size_t>(rows));
  float loss = 0;
  const Status status = cross_entropy_cpu(logits.data(), labels.data(), &loss, sums.data(), rows, classes, -100, row_losses.data(), kSerial);
  expect(status.ok(), status.message());
  const OnDevice<T> logits_device(logits);
  OnDevice<int64_t> labels_device(labels);
  const OnDevice<float> sums_device(rows);
  const OnDevice<uint8_t> workspace(cross_entropy_workspace_cuda(rows));
  const std::string what = "cross entropy " + name_of_type<T>() + " " + std::to_string(rows) + " x " + std::to_string(classes);
  const auto run = [&](float* out) {
    return cross_entropy_cuda(type_of<T>(), logits_device.data(), labels_device.data(), out, sums_device.data(), rows, classes, -100, workspace.data(),
                              nullptr);
  };
  expect_all_near<float>(run_twice<float>(what, 1, run), {static_cast<double>(loss)}, within<float>(32), what);
  expect_all_near<float>(
      sums_device.download(what), reals(sums), [](double v) { return within<float>(16)(v) + 1e-6; }, what + " sums");
  labels[0] = classes;
  labels_device.upload(labels);
  expect(std::isnan(run_twice<float>(what, 1, run)[0]), what + ": a label out of range");
}

}  // namespace

HALO_CHECK(cuda_cross_entropy_as_the_cpu, Memory::kShared) {
  for_floats([]<class T>() {
    check_cross_entropy<T>(5, 2);
    check_cross_entropy<T>(72, 256);
    check_cross_entropy<T>(9, 1003);
    check_cross_entropy<T>(3, 20000);  // several steps of a block
    if (!is_reduced()) check_cross_entropy<T>(64, 32000);
  });
}

HALO_CHECK(limits_of_cross_entropy_are_named) {
  expect_refused(cross_entropy_cuda(kFloat, none, no_labels, no_floats, no_floats, kTooMany, 1, -100, nowhere, nullptr), "at most 2147483647 rows",
                 "2147483648");
}

}  // namespace halo::check::cross_entropy
