#include "check/cuda/device.h"
#include "common/codes.h"
#include "ops/hadamard_quantize/hadamard_quantize_kernels.h"
#include "ops/hadamard_transform/hadamard_transform.h"
#include "ops/quantize/quantize.h"

namespace halo::check::hadamard_quantize {

namespace {

/// The codes, both orders and the scale of the two operators, to the bit. `kind`: 0 numbers, 1 zeros, 2 with NaN, 3 with Inf, 4 the largest, 5 the smallest.
template <class Format, class T>
void check_rows(int64_t rows, int64_t columns, int64_t size, bool is_turned, int kind) {
  const std::vector<int64_t> blocks(static_cast<size_t>(columns / size), size);
  const auto blocks_count = static_cast<int64_t>(blocks.size());
  const int64_t count = rows * columns;
  auto x = numbers<T>(count, 71);
  if (kind == 1) std::fill(x.begin(), x.end(), typed<T>(0));
  if (kind == 2) x[static_cast<size_t>(count / 3)] = typed<T>(-NAN);
  if (kind == 3) x[static_cast<size_t>(count / 3)] = typed<T>(-INFINITY);
  for (T& value : x) {
    if (kind == 4) value = typed<T>(std::is_same_v<T, Float16> ? std::clamp(real(value) * 100, -2000.0, 2000.0) : real(value) * 1e32);
    if (kind == 5) value = typed<T>(real(value) * (std::is_same_v<T, Float16> ? 1e-6 : 1e-38));
  }
  const std::string what = std::string("hadamard quantize ") + Format::kName + " " + name_of_type<T>() + " " + std::to_string(rows) + " x " +
                           std::to_string(columns) + " by " + std::to_string(size) + (is_turned ? " both" : "") + " kind " + std::to_string(kind);
  const OnDevice<T> x_device(x), rotated(count);
  const OnDevice<float> absmax(1), scale(1), own_scale(1);
  const OnDevice<uint8_t> codes(count), turned(count), own_turned(count), workspace(hadamard_quantize_rows_workspace());
  expect_success(
      hadamard_transform_cuda(type_of<T>(), x_device.data(), rotated.data(), absmax.data(), rows, columns, 1, blocks.data(), blocks_count, false, nullptr),
      what);
  expect_success(quantize_cuda(Format::kName, type_of<T>(), rotated.data(), absmax.data(), codes.data(), is_turned ? turned.data() : nullptr, scale.data(),
                               rows, columns, nullptr, nullptr),
                 what);
  expect(hadamard_quantize_rows_takes(Format::kName, type_of<T>(), x_device.data(), codes.data(), is_turned ? turned.data() : nullptr, rows, columns,
                                      blocks.data(), blocks_count),
         what + ": not taken");
  const auto found = run_twice<uint8_t>(what, count, [&](uint8_t* out) {
    return hadamard_quantize_rows_cuda(Format::kName, type_of<T>(), x_device.data(), out, is_turned ? own_turned.data() : nullptr, own_scale.data(), rows,
                                       columns, blocks.data(), blocks_count, workspace.data(), nullptr);
  });
  const float expected_scale = scale.download(what)[0], found_scale = own_scale.download(what)[0];
  expect(__builtin_memcmp(&expected_scale, &found_scale, sizeof(float)) == 0 || (std::isnan(expected_scale) && std::isnan(found_scale)),
         what + ": scale " + std::to_string(expected_scale) + ", found " + std::to_string(found_scale));
  expect(found == codes.download(what), what + ": codes");
  expect(own_turned.download(what) == turned.download(what), what + ": turned codes");
  workspace.download(what + " workspace");
}

template <class Format>
void check_format() {
  const auto check = [](int64_t rows, int64_t columns, int64_t size, bool is_turned, int kind) {
    check_rows<Format, BFloat16>(rows, columns, size, is_turned, kind);
    check_rows<Format, Float16>(rows, columns, size, is_turned, kind);
  };
  for (int kind = 0; kind < 6; ++kind) {
    check(16, 4096, 4096, true, kind);
    check(1, 4096, 4096, false, kind);
  }
}

}  // namespace

HALO_CHECK(cuda_hadamard_quantize_gives_the_bits_of_two_operators, Memory::kShared) {
  check_format<E4M3>();
  check_format<E5M2>();
  check_format<Int8>();
  // Vectors side by side, several columns of units, rows that end within a unit, more units than multiprocessors.
  for (const int64_t size : {256, 512, 1024, 2048}) {
    check_rows<E4M3, BFloat16>(48, 2048, size, true, 0);
    check_rows<E4M3, BFloat16>(5, size == 256 ? 768 : size, size, false, 0);
  }
  check_rows<E4M3, BFloat16>(112, 8192, 4096, true, 0);
  check_rows<Int8, Float16>(176, 6144, 1024, true, 0);
  check_rows<E5M2, BFloat16>(33, 12288, 4096, false, 0);
  if (is_reduced()) return;
  check_rows<E4M3, BFloat16>(8192, 4096, 4096, true, 0);
  check_rows<E4M3, BFloat16>(8208, 8192, 2048, true, 0);
  check_rows<Int8, BFloat16>(16384, 2048, 2048, true, 0);
  check_rows<E4M3, Float16>(4099, 11264, 1024, false, 0);
}

}  // namespace halo::check::hadamard_quantize
