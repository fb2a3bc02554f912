#include "ops/quantize/quantize.h"

#include <algorithm>

#include "check/cuda/device.h"
#include "check/cuda/limits.h"
#include "common/absolute_max.h"
#include "common/codes.h"

namespace halo::check::quantize {

namespace {

const SerialExecutor kSerial;

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
  quantize_cpu<Format>(x.data(), nullptr, codes.data(), &scale, count, partial.data(), kSerial);
  const OnDevice<T> x_device(x);
  const OnDevice<float> scale_device(1);
  const OnDevice<uint8_t> workspace(quantize_workspace_cuda());
  const std::string what = std::string("quantize ") + Format::kName + " " + name_of_type<T>() + " " + std::to_string(count) + " kind " + std::to_string(kind);
  const auto found = run_twice<uint8_t>(what, count, [&](uint8_t* out) {
    return quantize_cuda(Format::kName, type_of<T>(), x_device.data(), nullptr, out, nullptr, scale_device.data(), 1, count, workspace.data(), nullptr);
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
  if (kind == 2) return;  // a NaN: its maximum is one, and so would be the scale
  std::vector<float> absmax(1);
  absolute_max_cpu(x.data(), count, absmax.data(), kSerial);
  const OnDevice<float> absmax_device(absmax);
  const auto given = run_twice<uint8_t>(what + " given", count, [&](uint8_t* out) {
    return quantize_cuda(Format::kName, type_of<T>(), x_device.data(), absmax_device.data(), out, nullptr, scale_device.data(), 1, count, nullptr, nullptr);
  });
  expect(given == found && (scale_device.download(what)[0] == scale || std::isnan(scale)), what + ": another result from the maximum");
  workspace.download(what + " workspace");
}

/// The codes of one order are those of the other, transposed.
template <class Format, class T>
void check_quantize_both(int64_t rows, int64_t columns) {
  const auto x = numbers<T>(rows * columns, 52);
  std::vector<uint8_t> codes(x.size());
  std::vector<float> partial(static_cast<size_t>(quantize_partials(rows * columns)));
  float scale = 0;
  quantize_cpu<Format>(x.data(), nullptr, codes.data(), &scale, rows * columns, partial.data(), kSerial);
  std::vector<uint8_t> expected(codes.size());
  transpose_codes_cpu(codes.data(), expected.data(), rows, columns, kSerial);
  const OnDevice<T> x_device(x);
  const OnDevice<float> scale_device(1);
  const OnDevice<uint8_t> workspace(quantize_workspace_cuda()), codes_device(rows * columns);
  const std::string what =
      std::string("quantize both ") + Format::kName + " " + name_of_type<T>() + " " + std::to_string(rows) + " x " + std::to_string(columns);
  const auto found = run_twice<uint8_t>(what, rows * columns, [&](uint8_t* out) {
    return quantize_cuda(Format::kName, type_of<T>(), x_device.data(), nullptr, codes_device.data(), out, scale_device.data(), rows, columns, workspace.data(),
                         nullptr);
  });
  expect(scale_device.download(what)[0] == scale, what + ": scale");
  expect(codes_device.download(what) == codes, what + ": codes");
  expect(found == expected, what + ": transposed codes");
}

}  // namespace

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

HALO_CHECK(limits_of_quantize_are_named) {
  expect_refused(quantize_cuda("e2m1", kFloat, none, nullptr, nowhere, nullptr, no_floats, 1, 1, nowhere, nullptr), "format e4m3, e5m2, e3m2 or int8",
                 "'e2m1'");
  expect_refused(quantize_cuda("int8", DType::kDouble, none, nullptr, nowhere, nullptr, no_floats, 1, 1, nowhere, nullptr), kFloatTensors, "double");
}

}  // namespace halo::check::quantize
