#include "ops/dequantize_int4/dequantize_int4.h"

#include "check/cuda/device.h"
#include "check/cuda/limits.h"

namespace halo::check::dequantize_int4 {

namespace {

template <class T>
void check_matrix(int64_t rows, int64_t columns) {
  const int64_t blocks = int4_blocks(columns);
  std::vector<uint8_t> codes(static_cast<size_t>(rows * blocks * (kInt4Block / 2))), zeros(static_cast<size_t>(rows * blocks));
  std::vector<Float16> scales(zeros.size());
  for (size_t i = 0; i < codes.size(); ++i) codes[i] = static_cast<uint8_t>(i * 101 + i / 256);
  for (size_t i = 0; i < zeros.size(); ++i) {
    zeros[i] = static_cast<uint8_t>(i % 16);
    scales[i] = from_float<Float16>(0.01f * static_cast<float>(i % 89 + 1));
  }
  std::vector<T> x(static_cast<size_t>(rows * columns));
  dequantize_int4_cpu({codes.data(), scales.data(), zeros.data(), rows, columns}, x.data(), SerialExecutor());
  const OnDevice<uint8_t> codes_device(codes), zeros_device(zeros);
  const OnDevice<Float16> scales_device(scales);
  const Int4Matrix matrix{codes_device.data(), scales_device.data(), zeros_device.data(), rows, columns};
  const std::string what = "dequantize int4 " + name_of_type<T>() + " " + std::to_string(rows) + " x " + std::to_string(columns);
  expect_all_near<T>(
      run_twice<T>(what, rows * columns, [&](T* out) { return dequantize_int4_cuda(type_of<T>(), matrix, out, nullptr); }), reals(x),
      [](double) { return 0.0; }, what);
}

}  // namespace

HALO_CHECK(cuda_dequantize_int4_as_the_cpu) {
  for_floats([]<class T>() {
    for (const int64_t columns : {1, 31, 32, 33, 64, 500, 1024}) check_matrix<T>(5, columns);
    if (!is_reduced()) check_matrix<T>(700, 4096);
  });
}

HALO_CHECK(limits_of_dequantize_int4_are_named) {
  expect_refused(dequantize_int4_cuda(DType::kInt32, {nullptr, nullptr, nullptr, 1, 32}, nowhere, nullptr), kFloatTensors, "int32");
}

}  // namespace halo::check::dequantize_int4
