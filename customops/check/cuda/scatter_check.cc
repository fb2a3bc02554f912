#include <algorithm>

#include "check/cuda/device.h"
#include "provider/kernels/loss.h"
#include "provider/kernels/scatter.h"

namespace halo::check {

namespace {

using cuda::Dims;
using cuda::ScatterReduction;

double update(ScatterReduction reduction, double old, double value) {
  switch (reduction) {
    case ScatterReduction::kAdd:
      return old + value;
    case ScatterReduction::kMul:
      return old * value;
    case ScatterReduction::kMax:
      return std::max(old, value);
    case ScatterReduction::kMin:
      return std::min(old, value);
    default:
      return value;
  }
}

/// Whole numbers below 8, so that sums are exact in every type, in whatever order.
template <class T>
std::vector<T> whole(int64_t count, int seed) {
  std::vector<T> values;
  for (int64_t i = 0; i < count; ++i) values.push_back(typed<T>(static_cast<double>((i * 7 + seed) % 5) - 2));
  return values;
}

template <class T>
void check_slices(ScatterReduction reduction, int64_t places, int64_t inner, int64_t count, int64_t spread) {
  const auto data = whole<T>(places * inner, 1), updates = whole<T>(count * inner, 2);
  std::vector<int64_t> indices;
  for (int64_t i = 0; i < count; ++i) indices.push_back((i * 13) % spread - (i % 2 == 0 ? 0 : places));
  std::vector<double> expected = reals(data);
  for (int64_t i = 0; i < count; ++i) {
    for (int64_t j = 0; j < inner; ++j) {
      double& to = expected[static_cast<size_t>((i * 13) % spread * inner + j)];
      to = update(reduction, to, real(static_cast<T>(updates[static_cast<size_t>(i * inner + j)])));
    }
  }
  if (reduction == ScatterReduction::kMul) return;  // overflows here; scatter_elements has it
  const OnDevice<T> data_device(data), updates_device(updates);
  const OnDevice<int64_t> indices_device(indices);
  const Dims indices_dims = dims_of({count, 1});
  const std::string what = "scatter nd " + std::to_string(static_cast<int>(reduction)) + " " + name_of_type<T>();
  const int64_t bytes = cuda::scatter_nd_workspace(indices_dims);
  const auto found = run_twice<T>(what, places * inner, [&](T* y) {
    const OnDevice<uint8_t> workspace(bytes);
    return cuda::scatter_nd(reduction, type_of<T>(), data_device.data(), dims_of({places, inner}), {indices_device.data(), DType::kInt64}, indices_dims,
                            updates_device.data(), y, workspace.data(), bytes, nullptr);
  });
  expect_all_near<T>(
      found, expected, [](double v) { return std::is_same_v<T, BFloat16> ? std::fabs(v) / 256 : 0.0; }, what);
}

template <class T>
void check_elements(ScatterReduction reduction) {
  const Dims data_dims = dims_of({5, 9, 3}), dims = dims_of({4, 6, 3});
  for (const int axis : {0, 1, 2}) {
    const auto data = whole<T>(data_dims.count(), 1), updates = whole<T>(dims.count(), 2);
    std::vector<int32_t> indices;
    for (int64_t i = 0; i < dims.count(); ++i)
      indices.push_back(static_cast<int32_t>((i * 5 + 1) % 3) - (i % 4 == 0 ? static_cast<int32_t>(data_dims.sizes[axis]) : 0));
    std::vector<double> expected = reals(data);
    for (int64_t i = 0; i < dims.count(); ++i) {
      int64_t index[3] = {i / 18, i / 3 % 6, i % 3};
      index[axis] = (i * 5 + 1) % 3;
      double& to = expected[static_cast<size_t>((index[0] * 9 + index[1]) * 3 + index[2])];
      to = update(reduction, to, real(static_cast<T>(updates[static_cast<size_t>(i)])));
    }
    const OnDevice<T> data_device(data), updates_device(updates);
    const OnDevice<int32_t> indices_device(indices);
    const std::string what = "scatter elements " + std::to_string(static_cast<int>(reduction)) + " " + name_of_type<T>() + " axis " + std::to_string(axis);
    const auto found = run_twice<T>(what, data_dims.count(), [&](T* y) {
      return cuda::scatter_elements(reduction, type_of<T>(), data_device.data(), data_dims, {indices_device.data(), DType::kInt32}, dims, axis,
                                    updates_device.data(), y, nullptr);
    });
    expect_all_near<T>(
        found, expected, [](double) { return 0.0; }, what);
  }
}

template <class T>
void check_all() {
  for (const ScatterReduction reduction :
       {ScatterReduction::kNone, ScatterReduction::kAdd, ScatterReduction::kMul, ScatterReduction::kMax, ScatterReduction::kMin}) {
    check_slices<T>(reduction, 16, 300, 8, 16);
    check_slices<T>(reduction, 256, 64, 72, 20);
    check_slices<T>(reduction, 1000, 1, 700, 3);
    check_elements<T>(reduction);
  }
}

template <class T>
void check_losses(cuda::LossReduction reduction, bool weighted, bool has_ignored) {
  const cuda::LossSizes sizes{3, 11, 4};
  const int64_t rows = 12;
  const auto scores = numbers<T>(3 * 11 * 4, 21), weights = numbers<T>(11, 22);
  std::vector<int64_t> labels;
  for (int64_t i = 0; i < rows; ++i) labels.push_back(has_ignored && i % 5 == 2 ? -100 : (i * 7) % 11);
  std::vector<double> logs(scores.size()), losses;
  double sum = 0, weight_sum = 0;
  for (int64_t row = 0; row < rows; ++row) {
    const auto at = [&](int64_t c) { return static_cast<size_t>((row / 4 * 11 + c) * 4 + row % 4); };
    double max = -INFINITY, total = 0;
    for (int64_t c = 0; c < 11; ++c) max = std::max(max, real(scores[at(c)]));
    for (int64_t c = 0; c < 11; ++c) total += std::exp(real(scores[at(c)]) - max);
    for (int64_t c = 0; c < 11; ++c) logs[at(c)] = real(scores[at(c)]) - max - std::log(total);
    const int64_t label = labels[static_cast<size_t>(row)];
    const double weight = label < 0 ? 0 : (weighted ? real(weights[static_cast<size_t>(label)]) : 1);
    losses.push_back(label < 0 ? 0 : -weight * logs[at(label)]);
    sum += losses.back();
    weight_sum += weight;
  }
  std::vector<double> expected = losses;
  if (reduction != cuda::LossReduction::kNone) expected = {reduction == cuda::LossReduction::kMean ? sum / weight_sum : sum};
  std::vector<T> log_values;
  for (const double v : logs) log_values.push_back(typed<T>(v));
  const OnDevice<T> scores_device(scores), weights_device(weights), log_device(log_values), log_output(static_cast<int64_t>(scores.size()));
  const OnDevice<int64_t> labels_device(labels);
  const OnDevice<uint8_t> workspace(cuda::label_loss_workspace(sizes));
  const cuda::Indices given{labels_device.data(), DType::kInt64};
  const void* w = weighted ? weights_device.data() : nullptr;
  const std::string what = "label loss " + name_of_type<T>();
  const auto count = static_cast<int64_t>(expected.size());
  double size = 1;
  for (const double v : losses) size += std::fabs(v);
  const auto near = [size](double v) { return within<T>(64)(v) + size * 1e-6 / (std::is_same_v<T, double> ? 1e8 : 1); };
  expect_all_near<T>(run_twice<T>(what, count,
                                  [&](T* y) {
                                    return cuda::softmax_cross_entropy_loss(type_of<T>(), scores_device.data(), given, w, has_ignored, -100, reduction, y,
                                                                            log_output.data(), sizes, workspace.data(), nullptr);
                                  }),
                     expected, near, what);
  expect_all_near<T>(
      log_output.download(what), logs, [](double v) { return within<T>(64)(v) + 1e-6; }, what + " logarithms");
  // From logarithms rounded to T each term is off by half a unit.
  const auto rounded_near = [size, near](double v) {
    return near(v) + (std::is_same_v<T, BFloat16> ? size / 128 : (std::is_same_v<T, Float16> ? size / 1024 : size * 1e-6));
  };
  expect_all_near<T>(run_twice<T>(what, count,
                                  [&](T* y) {
                                    return cuda::negative_log_likelihood_loss(type_of<T>(), log_device.data(), given, w, has_ignored, -100, reduction, y, sizes,
                                                                              workspace.data(), nullptr);
                                  }),
                     expected, rounded_near, what + " of logarithms");
}

}  // namespace

HALO_CHECK(cuda_scatters, Memory::kShared) {
  check_all<float>();
  check_all<BFloat16>();
  check_all<Float16>();
  check_all<double>();
  check_all<int32_t>();
  check_all<int64_t>();
}

HALO_CHECK(cuda_scatter_notes_indices_out_of_range) {
  const OnDevice<float> data(std::vector<float>{1, 2, 3, 4}), updates(std::vector<float>{10, 20});
  const OnDevice<int64_t> indices(std::vector<int64_t>{2, 4});
  const OnDevice<uint8_t> workspace(cuda::scatter_nd_workspace(dims_of({2, 1})));
  const std::vector<double> expected = {NAN, 2, 13, 4};
  const auto slices = run_twice<float>("scatter nd", 4, [&](float* y) {
    return cuda::scatter_nd(ScatterReduction::kAdd, DType::kFloat, data.data(), dims_of({4}), {indices.data(), DType::kInt64}, dims_of({2, 1}), updates.data(),
                            y, workspace.data(), workspace.size(), nullptr);
  });
  expect_all_near<float>(
      slices, expected, [](double) { return 0.0; }, "scatter nd out of range");
  const auto elements = run_twice<float>("scatter elements", 4, [&](float* y) {
    return cuda::scatter_elements(ScatterReduction::kAdd, DType::kFloat, data.data(), dims_of({4}), {indices.data(), DType::kInt64}, dims_of({2}), 0,
                                  updates.data(), y, nullptr);
  });
  expect_all_near<float>(
      elements, expected, [](double) { return 0.0; }, "scatter elements out of range");
}

HALO_CHECK(cuda_label_losses_are_the_formula, Memory::kShared) {
  for (const auto reduction : {cuda::LossReduction::kNone, cuda::LossReduction::kSum, cuda::LossReduction::kMean}) {
    for (const bool weighted : {false, true}) {
      check_losses<float>(reduction, weighted, true);
      check_losses<BFloat16>(reduction, weighted, false);
      check_losses<double>(reduction, weighted, true);
    }
  }
}

}  // namespace halo::check
