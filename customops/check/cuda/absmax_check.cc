// One element that is no number, at whatever place, makes the maximum beside a kernel's result none: a Quantize that reads it passes it on.
#include <limits>

#include "check/cuda/device.h"
#include "ops/hadamard_transform/hadamard_transform.h"
#include "ops/rms_norm/rms_norm.h"
#include "ops/rms_norm_grad/rms_norm_grad.h"
#include "ops/swi_glu/swi_glu.h"
#include "ops/swi_glu_grad/swi_glu_grad.h"

namespace halo::check {

namespace {

constexpr int64_t kRows = 3, kColumns = 1032, kCount = kRows * kColumns;

/// Maxima that a kernel leaves, given a tensor with one NaN at `at`.
template <class T, class F>
void expect_none(const std::string& name, int maxima, int64_t at, F&& kernel) {
  const std::string what = name + " " + name_of_type<T>() + " with no number at " + std::to_string(at);
  auto bad = numbers<T>(kCount, 41);
  bad[static_cast<size_t>(at)] = typed<T>(std::numeric_limits<double>::quiet_NaN());
  const OnDevice<T> bad_device(bad);
  const OnDevice<float> found(maxima);
  expect_success(kernel(bad_device.data(), found.data()), what);
  for (const float maximum : found.download(what)) expect(std::isnan(maximum), what + ": a maximum of " + std::to_string(maximum));
}

template <class T>
void check_type() {
  const DType type = type_of<T>();
  const OnDevice<T> x(numbers<T>(kCount, 42)), other(numbers<T>(kCount, 43)), weight(numbers<T>(kColumns, 44)), y(kCount), second(kCount), dweight(kColumns);
  const OnDevice<float> inv_rms(std::vector<float>(kRows, 0.7f)), inv_found(kRows);
  const OnDevice<uint8_t> workspace(rms_norm_grad_workspace_cuda(kRows, kColumns));
  for (const int64_t at : {int64_t{0}, int64_t{777}, kColumns, kCount - 1}) {
    expect_none<T>("rms norm", 1, at, [&](const T* bad, float* maxima) {
      return rms_norm_cuda(type, bad, weight.data(), y.data(), inv_found.data(), maxima, kRows, kColumns, 1e-5f, nullptr);
    });
    for (const int axis : {0, 1}) {
      const std::vector<int64_t> blocks = axis == 0 ? std::vector<int64_t>{2, 1} : std::vector<int64_t>{512, 256, 256, 8};
      expect_none<T>("hadamard transform", 1, at, [&](const T* bad, float* maxima) {
        return hadamard_transform_cuda(type, bad, y.data(), maxima, kRows, kColumns, axis, blocks.data(), static_cast<int64_t>(blocks.size()), false, nullptr);
      });
    }
    expect_none<T>("rms norm gradient", 1, at, [&](const T* bad, float* maxima) {
      return rms_norm_grad_cuda(type, bad, x.data(), weight.data(), inv_rms.data(), nullptr, y.data(), dweight.data(), maxima, kRows, kColumns,
                                workspace.data(), nullptr);
    });
    expect_none<T>("swi glu", 1, at, [&](const T* bad, float* maxima) { return swi_glu_cuda(type, bad, other.data(), y.data(), maxima, kCount, nullptr); });
    expect_none<T>("swi glu gradient", 2, at, [&](const T* bad, float* maxima) {
      return swi_glu_grad_cuda(type, x.data(), bad, other.data(), nullptr, nullptr, y.data(), second.data(), nullptr, maxima, maxima + 1, kCount, nullptr);
    });
  }
}

}  // namespace

HALO_CHECK(cuda_maxima_say_what_is_no_number, Memory::kShared) {
  for_floats([]<class T>() { check_type<T>(); });
}

}  // namespace halo::check
