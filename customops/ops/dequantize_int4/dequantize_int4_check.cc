#include "ops/dequantize_int4/dequantize_int4.h"

#include "check/check.h"

namespace halo::check::dequantize_int4 {

namespace {

template <class T>
void check_matrix(int64_t rows, int64_t columns) {
  const std::string what = std::to_string(rows) + " x " + std::to_string(columns);
  const int64_t blocks = int4_blocks(columns);
  std::vector<uint8_t> codes(static_cast<size_t>(rows * blocks * (kInt4Block / 2))), zeros(static_cast<size_t>(rows * blocks));
  std::vector<Float16> scales(zeros.size());
  for (size_t i = 0; i < codes.size(); ++i) codes[i] = static_cast<uint8_t>(i * 37 + i / 256);
  for (size_t i = 0; i < zeros.size(); ++i) {
    zeros[i] = static_cast<uint8_t>(i % 16);
    scales[i] = from_float<Float16>(0.01f * static_cast<float>(i % 97 + 1));
  }
  const Int4Matrix matrix{codes.data(), scales.data(), zeros.data(), rows, columns};
  Guarded<T> x(rows * columns), serial(rows * columns);
  dequantize_int4_cpu(matrix, x.data(), ThreadedExecutor());
  dequantize_int4_cpu(matrix, serial.data(), SerialExecutor());
  expect(x.intact(), what + ": wrote outside");
  expect(same(x.data(), serial.data(), rows * columns), what + ": threads change the result");
  for (int64_t i = 0; i < rows * columns; ++i) {
    const int64_t at = i / columns * blocks * kInt4Block + i % columns;
    const size_t block = static_cast<size_t>(at / kInt4Block);
    const int code = codes[static_cast<size_t>(at / 2)] >> (at % 2 * 4) & 15;
    const T expected = from_float<T>(static_cast<float>(code - zeros[block]) * to_float(scales[block]));
    expect(to_float(x[i]) == to_float(expected), what + ": element " + std::to_string(i));
  }
}

}  // namespace

HALO_CHECK(codes_of_four_bits_stand_for_steps_from_a_zero_point) {
  for (const int64_t columns : {1, 31, 32, 33, 64, 1000}) {
    check_matrix<float>(7, columns);
    check_matrix<BFloat16>(7, columns);
    check_matrix<Float16>(7, columns);
  }
  check_matrix<float>(0, 32);
}

}  // namespace halo::check::dequantize_int4
