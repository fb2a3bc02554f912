// The CUDA kernels of com.halo against those of the CPU.
#include <algorithm>

#include "check/cuda/device.h"
#include "common/codes.h"
#include "common/hadamard_matrix.h"
#include "ops/cross_entropy/cross_entropy.h"
#include "ops/cross_entropy_grad/cross_entropy_grad.h"
#include "ops/hadamard_transform/hadamard_transform.h"
#include "ops/quantize/quantize.h"
#include "ops/rms_norm/rms_norm.h"
#include "ops/rms_norm_grad/rms_norm_grad.h"
#include "ops/rotary_embedding/rotary_embedding.h"
#include "ops/swi_glu/swi_glu.h"
#include "ops/swi_glu_grad/swi_glu_grad.h"

namespace halo::check {

namespace {

const SerialExecutor kSerial;

/// Near what the CPU has, which is rounded itself: a unit of T, and `units` of float32 of a number as large as `size`.
template <class T>
std::function<double(double)> beside(double units, double size = 0) {
  return [units, size](double v) { return 2 * within<T>(units)(v) + units * 0x1p-24 * size; };
}

template <class T>
void check_rms_norm(int64_t rows, int64_t columns) {
  const auto x = numbers<T>(rows * columns, 31), weight = numbers<T>(columns, 32), dy = numbers<T>(rows * columns, 33);
  std::vector<T> y(x.size()), dx(x.size()), dweight(weight.size());
  std::vector<float> inv_rms(static_cast<size_t>(rows)), partial(static_cast<size_t>(rms_norm_grad_partials(rows, columns)));
  rms_norm_cpu(x.data(), weight.data(), y.data(), inv_rms.data(), rows, columns, 1e-5f, kSerial);
  rms_norm_grad_cpu(dy.data(), x.data(), weight.data(), inv_rms.data(), dx.data(), dweight.data(), rows, columns, partial.data(), kSerial);
  const OnDevice<T> x_device(x), weight_device(weight), dy_device(dy);
  const OnDevice<float> inv_device(rows), inv_given(inv_rms);
  const std::string what = "rms norm " + name_of_type<T>() + " " + std::to_string(rows) + " x " + std::to_string(columns);
  const auto found = run_twice<T>(what, rows * columns, [&](T* out) {
    return rms_norm_cuda(type_of<T>(), x_device.data(), weight_device.data(), out, inv_device.data(), rows, columns, 1e-5f, nullptr);
  });
  expect_all_near<T>(found, reals(y), beside<T>(16), what);
  expect_all_near<float>(inv_device.download(what), reals(inv_rms), within<float>(16), what + " inverse");
  const OnDevice<uint8_t> workspace(rms_norm_grad_workspace_cuda(rows, columns));
  const OnDevice<T> dweight_device(columns);
  const auto gradient = [&](T* dx_out, T* dweight_out) {
    return rms_norm_grad_cuda(type_of<T>(), dy_device.data(), x_device.data(), weight_device.data(), inv_given.data(), dx_out, dweight_out, rows, columns,
                              workspace.data(), nullptr);
  };
  // Outliers of 300 make single terms large: sums of them in float32 are off by units of these.
  const auto dx_found = run_twice<T>(what + " dx", rows * columns, [&](T* out) { return gradient(out, dweight_device.data()); });
  expect_all_near<T>(dx_found, reals(dx), beside<T>(64, 1000), what + " dx");
  const OnDevice<T> dx_device(rows * columns);
  const auto dweight_found = run_twice<T>(what + " dweight", columns, [&](T* out) { return gradient(dx_device.data(), out); });
  expect_all_near<T>(dweight_found, reals(dweight), beside<T>(64, 1000 * std::sqrt(static_cast<double>(rows))), what + " dweight");
  workspace.download(what + " workspace");
}

template <class T>
void check_swi_glu(int64_t count) {
  const auto gate = numbers<T>(count, 34), up = numbers<T>(count, 35), dy = numbers<T>(count, 36);
  std::vector<T> y(gate.size()), dgate(gate.size()), dup(gate.size());
  swi_glu_cpu(gate.data(), up.data(), y.data(), count, kSerial);
  swi_glu_grad_cpu(dy.data(), gate.data(), up.data(), dgate.data(), dup.data(), count, kSerial);
  const OnDevice<T> gate_device(gate), up_device(up), dy_device(dy), other(count);
  const std::string what = "swi glu " + name_of_type<T>();
  const auto found = run_twice<T>(what, count, [&](T* out) { return swi_glu_cuda(type_of<T>(), gate_device.data(), up_device.data(), out, count, nullptr); });
  expect_all_near<T>(
      found, reals(y), [](double v) { return beside<T>(32)(v) + 1e-34; }, what);
  const auto dgate_found = run_twice<T>(what + " dgate", count, [&](T* out) {
    return swi_glu_grad_cuda(type_of<T>(), dy_device.data(), gate_device.data(), up_device.data(), out, other.data(), count, nullptr);
  });
  expect_all_near<T>(
      dgate_found, reals(dgate), [](double v) { return beside<T>(64)(v) + 2e-6; }, what + " dgate");
  expect_all_near<T>(
      other.download(what), reals(dup), [](double v) { return beside<T>(32)(v) + 1e-34; }, what + " dup");
}

template <class T>
void check_rotary(int64_t dim, bool has_positions, bool inverse) {
  const RotarySizes sizes{.batch = 2, .heads = 3, .tokens = 9, .dim = dim, .positions = 17};
  const int64_t count = sizes.batch * sizes.heads * sizes.tokens * dim;
  const auto x = numbers<T>(count, 37);
  const auto cos = normal(sizes.positions * dim / 2, 38), sin = normal(sizes.positions * dim / 2, 39);
  std::vector<int64_t> positions;
  for (int64_t i = 0; i < sizes.batch * sizes.tokens; ++i) positions.push_back(i * 5 % sizes.positions);
  std::vector<T> y(x.size());
  const Status status = rotary_embedding_cpu(x.data(), cos.data(), sin.data(), has_positions ? positions.data() : nullptr, y.data(), sizes, inverse, kSerial);
  expect(status.ok(), status.message());
  const OnDevice<T> x_device(x);
  const OnDevice<float> cos_device(cos), sin_device(sin);
  OnDevice<int64_t> positions_device(positions);
  const std::string what = "rotary embedding " + name_of_type<T>() + " " + std::to_string(dim);
  const auto run = [&](T* out) {
    return rotary_embedding_cuda(type_of<T>(), x_device.data(), cos_device.data(), sin_device.data(), has_positions ? positions_device.data() : nullptr, out,
                                 sizes, inverse, nullptr);
  };
  expect_all_near<T>(run_twice<T>(what, count, run), reals(y), beside<T>(4, 1000), what);
  if (!has_positions) return;
  positions[3] = 17;
  positions_device.upload(positions);
  const auto refused = run_twice<T>(what, count, run);
  expect(std::isnan(real(refused[static_cast<size_t>(3 * dim)])) && !std::isnan(real(refused[static_cast<size_t>(2 * dim)])),
         what + ": a position out of range");
}

template <class T>
void check_cross_entropy(int64_t rows, int64_t classes) {
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
  const OnDevice<float> sums_device(rows), sums_given(sums), dloss(std::vector<float>{0.5f});
  const OnDevice<uint8_t> workspace(cross_entropy_workspace_cuda(rows)), grad_workspace(cross_entropy_grad_workspace_cuda());
  const std::string what = "cross entropy " + name_of_type<T>() + " " + std::to_string(rows) + " x " + std::to_string(classes);
  const auto run = [&](float* out) {
    return cross_entropy_cuda(type_of<T>(), logits_device.data(), labels_device.data(), out, sums_device.data(), rows, classes, -100, workspace.data(),
                              nullptr);
  };
  expect_all_near<float>(run_twice<float>(what, 1, run), {static_cast<double>(loss)}, within<float>(32), what);
  expect_all_near<float>(
      sums_device.download(what), reals(sums), [](double v) { return within<float>(16)(v) + 1e-6; }, what + " sums");
  const auto gradient = [&](T* out) {
    return cross_entropy_grad_cuda(type_of<T>(), dloss.data(), logits_device.data(), labels_device.data(), sums_given.data(), out, rows, classes, -100,
                                   grad_workspace.data(), nullptr);
  };
  expect_all_near<T>(
      run_twice<T>(what + " gradient", rows * classes, gradient), reals(dlogits), [](double v) { return beside<T>(1024)(v) + 1e-7; }, what + " gradient");
  labels[0] = classes;
  labels_device.upload(labels);
  expect(std::isnan(run_twice<float>(what, 1, run)[0]), what + ": a label out of range");
  expect(std::isnan(real(run_twice<T>(what, rows * classes, gradient)[0])), what + ": a label out of range in the gradient");
}

template <class Format, class T>
void check_quantize(int64_t count, int kind) {
  auto x = numbers<T>(count, 51);
  if (kind == 1) std::fill(x.begin(), x.end(), typed<T>(0));
  if (kind == 2) x[static_cast<size_t>(count / 2)] = typed<T>(NAN), x[static_cast<size_t>(count / 3)] = typed<T>(-NAN);
  if (kind == 3) x[static_cast<size_t>(count / 2)] = typed<T>(INFINITY);
  if (kind == 4) std::fill(x.begin(), x.end(), typed<T>(std::is_same_v<T, Float16> ? 6e-8 : 1e-39));
  if (kind == 5) x[static_cast<size_t>(count / 2)] = typed<T>(30000);
  std::vector<uint8_t> codes(x.size());
  std::vector<float> partial(static_cast<size_t>(quantize_partials(count)));
  float scale = 0;
  quantize_cpu<Format>(x.data(), codes.data(), &scale, count, partial.data(), kSerial);
  const OnDevice<T> x_device(x);
  const OnDevice<float> scale_device(1);
  const OnDevice<uint8_t> workspace(quantize_workspace_cuda());
  const std::string what = std::string("quantize ") + Format::kName + " " + name_of_type<T>() + " " + std::to_string(count) + " kind " + std::to_string(kind);
  const auto found = run_twice<uint8_t>(what, count, [&](uint8_t* out) {
    return quantize_cuda(Format::kName, type_of<T>(), x_device.data(), out, nullptr, scale_device.data(), 1, count, workspace.data(), nullptr);
  });
  const float found_scale = scale_device.download(what)[0];
  expect(found_scale == scale || (std::isnan(found_scale) && std::isnan(scale)),
         what + ": scale " + std::to_string(scale) + ", found " + std::to_string(found_scale));
  int64_t different = 0;
  for (size_t i = 0; i < codes.size(); ++i) {
    if (std::isinf(real(x[i])) && (codes[i] & 0x7F) == 0x7F) codes[i] = std::signbit(real(x[i])) ? 0xFF : 0x7F;  // of Inf / Inf the sign is the processor's
    different += codes[i] != found[i] ? 1 : 0;
  }
  if (different > 0) {
    const auto i = static_cast<size_t>(std::mismatch(codes.begin(), codes.end(), found.begin()).first - codes.begin());
    expect(false, what + ": " + std::to_string(different) + " codes differ, the first of " + std::to_string(real(x[i])) + ": expected " +
                      std::to_string(codes[i]) + ", found " + std::to_string(found[i]));
  }
  workspace.download(what + " workspace");
}

/// The codes of one order are those of the other, transposed.
template <class Format, class T>
void check_quantize_both(int64_t rows, int64_t columns) {
  const auto x = numbers<T>(rows * columns, 52);
  std::vector<uint8_t> codes(x.size());
  std::vector<float> partial(static_cast<size_t>(quantize_partials(rows * columns)));
  float scale = 0;
  quantize_cpu<Format>(x.data(), codes.data(), &scale, rows * columns, partial.data(), kSerial);
  std::vector<uint8_t> expected(codes.size());
  transpose_codes_cpu(codes.data(), expected.data(), rows, columns, kSerial);
  const OnDevice<T> x_device(x);
  const OnDevice<float> scale_device(1);
  const OnDevice<uint8_t> workspace(quantize_workspace_cuda()), codes_device(rows * columns);
  const std::string what =
      std::string("quantize both ") + Format::kName + " " + name_of_type<T>() + " " + std::to_string(rows) + " x " + std::to_string(columns);
  const auto found = run_twice<uint8_t>(what, rows * columns, [&](uint8_t* out) {
    return quantize_cuda(Format::kName, type_of<T>(), x_device.data(), codes_device.data(), out, scale_device.data(), rows, columns, workspace.data(), nullptr);
  });
  expect(scale_device.download(what)[0] == scale, what + ": scale");
  expect(codes_device.download(what) == codes, what + ": codes");
  expect(found == expected, what + ": transposed codes");
}

template <class T>
void check_hadamard(const std::vector<int64_t>& sizes, int64_t others, int axis, bool inverse) {
  std::vector<HadamardBlock> blocks;
  int64_t n = 0;
  for (const int64_t size : sizes) {
    const HadamardOrder found = hadamard_order(size);
    blocks.push_back({.size = size, .order = found.order, .log2 = found.log2});
    n += size;
  }
  const int64_t rows = axis == 1 ? others : n, columns = axis == 1 ? n : others;
  const auto x = numbers<T>(rows * columns, 61);
  std::vector<T> y(x.size());
  hadamard_transform_cpu(x.data(), y.data(), rows, columns, axis, blocks, inverse, kSerial);
  const OnDevice<T> x_device(x);
  const std::string what =
      "hadamard transform " + name_of_type<T>() + " of " + std::to_string(sizes[0]) + " axis " + std::to_string(axis) + (inverse ? " inverse" : "");
  const auto found = run_twice<T>(what, rows * columns, [&](T* out) {
    return hadamard_transform_cuda(type_of<T>(), x_device.data(), out, rows, columns, axis, sizes.data(), static_cast<int64_t>(sizes.size()), inverse, nullptr);
  });
  expect_all_near<T>(found, reals(y), beside<T>(16, 300), what);
}

}  // namespace

HALO_CHECK(cuda_rms_norm_as_the_cpu, Memory::kShared) {
  for_floats([]<class T>() {
    for (const int64_t columns : {1, 7, 64, 96, 256, 1000, 4096}) check_rms_norm<T>(5, columns);
    check_rms_norm<T>(700, 64);
    check_rms_norm<T>(3, 12288);
    check_rms_norm<T>(3, 20480);                      // more than registers hold in any type
    if (!is_reduced()) check_rms_norm<T>(600, 4096);  // more rows than pieces
  });
}

HALO_CHECK(cuda_swi_glu_as_the_cpu) {
  for_floats([]<class T>() {
    for (const int64_t count : {1, 13, 4096}) check_swi_glu<T>(count);
    if (!is_reduced()) check_swi_glu<T>(300003);
  });
}

HALO_CHECK(cuda_rotary_embedding_as_the_cpu) {
  for_floats([]<class T>() {
    for (const int64_t dim : {2, 16, 64, 128}) {
      for (const bool has_positions : {false, true}) {
        for (const bool inverse : {false, true}) check_rotary<T>(dim, has_positions, inverse);
      }
    }
  });
}

HALO_CHECK(cuda_cross_entropy_as_the_cpu, Memory::kShared) {
  for_floats([]<class T>() {
    check_cross_entropy<T>(5, 2);
    check_cross_entropy<T>(72, 256);
    check_cross_entropy<T>(9, 1003);
    check_cross_entropy<T>(3, 20000);  // several steps of a block
    if (!is_reduced()) check_cross_entropy<T>(64, 32000);
  });
}

HALO_CHECK(cuda_quantize_gives_the_codes_of_the_cpu, Memory::kShared) {
  for_floats([]<class T>() {
    for (int kind = 0; kind < 6; ++kind) {
      for (const int64_t count : {1, 13, 5000, 70001}) {
        if (is_reduced() && count > 5000 && kind > 2) continue;
        check_quantize<E4M3, T>(count, kind);
        check_quantize<E5M2, T>(count, kind);
        check_quantize<E3M2, T>(count, kind);
        check_quantize<Int8, T>(count, kind);
      }
    }
  });
  if (!is_reduced()) check_quantize<E4M3, BFloat16>(20000000, 0);
}

HALO_CHECK(cuda_quantize_gives_codes_in_both_orders, Memory::kShared) {
  for_floats([]<class T>() {
    for (const auto& [rows, columns] : {std::pair<int64_t, int64_t>{1, 1}, {3, 5}, {16, 144}, {144, 16}, {129, 136}, {260, 131}, {128, 256}}) {
      check_quantize_both<E4M3, T>(rows, columns);
      check_quantize_both<E5M2, T>(rows, columns);
      check_quantize_both<E3M2, T>(rows, columns);
      check_quantize_both<Int8, T>(rows, columns);
    }
  });
  if (!is_reduced()) check_quantize_both<E4M3, BFloat16>(16384, 4096);
}

HALO_CHECK(cuda_hadamard_transform_as_the_cpu, Memory::kShared) {
  for_floats([]<class T>() {
    std::vector<std::vector<int64_t>> problems = {{1},  {2},   {4},   {8},   {32},        {64},     {12}, {40}, {52},
                                                  {96}, {172}, {448}, {704}, {64, 16, 4}, {64, 64}, {76}, {284}};
    if (!is_reduced()) {
      for (const int64_t size : {1024, 4096, 11008, 14336, 13824, 2040, 8192, 100, 140, 16384, 28672}) problems.push_back({size});
    }
    for (const auto& sizes : problems) {
      const int64_t others = sizes[0] > 4096 ? 9 : (is_reduced() ? 17 : 70);
      for (const int axis : {0, 1}) {
        check_hadamard<T>(sizes, others, axis, false);
        check_hadamard<T>(sizes, others, axis, true);
      }
    }
  });
}

}  // namespace halo::check
