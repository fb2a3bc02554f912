#include "ops/linear_cross_entropy/linear_cross_entropy.h"

#include "check/cuda/device.h"

namespace halo::check::linear_cross_entropy {

namespace {

template <class T, class R>
void check_sizes(const LinearCrossEntropySizes& s) {
  static cuda::LtProducts products;
  const std::string what = "linear cross entropy " + name_of_type<T>() + " to " + name_of_type<R>() + " " + std::to_string(s.rows) + " x " +
                           std::to_string(s.width) + " x " + std::to_string(s.classes) + " by " + std::to_string(s.chunk);
  const auto x = numbers<T>(s.rows * s.width, 61), w = numbers<T>(s.classes * s.width, 62);
  std::vector<int64_t> labels;
  for (int64_t row = 0; row < s.rows; ++row) labels.push_back(row % 4 == 1 ? s.ignored : row * 37 % s.classes);
  const float dloss = 0.5f;
  std::vector<T> dx(x.size());
  std::vector<R> dw(w.size());
  std::vector<float> work(static_cast<size_t>(linear_cross_entropy_work_cpu(s)));
  float loss = 0;
  expect_success(
      linear_cross_entropy_cpu(x.data(), w.data(), labels.data(), dloss, &loss, dx.data(), dw.data(), s, work.data(), ThreadedExecutor(), PlainProducts()),
      what);
  const OnDevice<T> x_device(x), w_device(w), dx_device(s.rows * s.width);
  const OnDevice<R> dw_device(s.classes * s.width);
  OnDevice<int64_t> labels_device(labels);
  const OnDevice<float> dloss_device(std::vector<float>{dloss});
  const OnDevice<uint8_t> workspace(linear_cross_entropy_workspace_cuda(type_of<T>(), s));
  const auto run = [&](float* out) {
    return linear_cross_entropy_cuda(products, type_of<T>(), type_of<R>(), x_device.data(), w_device.data(), labels_device.data(), dloss_device.data(), out,
                                     dx_device.data(), dw_device.data(), s, workspace.data(), nullptr);
  };
  // Exponents of float32 are off by units of logits in the tens. A logit that rounds the other way, or its gradient, is a unit of T off: a few of them, times a
  // gradient of at most dloss / rows and numbers of size 4.
  const double unit = std::is_same_v<T, float> ? 0x1p-15 : (std::is_same_v<T, BFloat16> ? 0x1p-8 : 0x1p-11);
  const double most = 8 * unit * static_cast<double>(dloss) / static_cast<double>(s.rows) * 4;
  expect_all_near<float>(
      run_twice<float>(what, 1, run), {static_cast<double>(loss)}, [unit](double v) { return unit * (1 + v); }, what + " loss");
  expect_all_near<T>(
      dx_device.download(what), reals(dx), [most](double) { return most; }, what + " dx");
  expect_all_near<R>(
      dw_device.download(what), reals(dw), [most](double) { return most; }, what + " dw");
  expect_success(linear_cross_entropy_cuda(products, type_of<T>(), type_of<R>(), x_device.data(), w_device.data(), labels_device.data(), dloss_device.data(),
                                           OnDevice<float>(1).data(), dx_device.data(), nullptr, s, workspace.data(), nullptr),
                 what + ", W frozen");
  expect_all_near<T>(
      dx_device.download(what), reals(dx), [most](double) { return most; }, what + " dx, W frozen");
  workspace.download(what + " workspace");
  labels[0] = s.classes;
  labels_device.upload(labels);
  expect(std::isnan(run_twice<float>(what, 1, run)[0]), what + ": a label out of range");
}

}  // namespace

HALO_CHECK(cuda_linear_cross_entropy_as_the_cpu, Memory::kShared) {
  for (const int64_t chunk : {8, 16, 24}) {
    check_sizes<float, float>({.rows = 24, .width = 8, .classes = 64, .chunk = chunk, .ignored = -100});
    check_sizes<BFloat16, BFloat16>({.rows = 24, .width = 16, .classes = 72, .chunk = chunk, .ignored = -100});
    check_sizes<BFloat16, float>({.rows = 19, .width = 16, .classes = 72, .chunk = chunk, .ignored = -100});
    check_sizes<Float16, float>({.rows = 19, .width = 8, .classes = 33, .chunk = chunk, .ignored = -100});
  }
  check_sizes<BFloat16, BFloat16>({.rows = 3, .width = 8, .classes = 17000, .chunk = 2, .ignored = -100});  // several steps of a block
  if (!is_reduced()) check_sizes<BFloat16, float>({.rows = 200, .width = 64, .classes = 32000, .chunk = 128, .ignored = -100});
}

}  // namespace halo::check::linear_cross_entropy
