#include "ops/dequantize_blocks/dequantize_blocks.h"

#include "check/cuda/device.h"
#include "check/cuda/limits.h"
#include "ops/quantize_blocks/quantize_blocks.h"

namespace halo::check::dequantize_blocks {

namespace {

template <class T>
void check_numbers(int64_t count) {
  const auto x = numbers<float>(count, 62, true);
  std::vector<uint8_t> codes(x.size());
  std::vector<float> scales(static_cast<size_t>(code_blocks(count)));
  quantize_blocks_cpu(x.data(), codes.data(), scales.data(), count, SerialExecutor());
  std::vector<T> y(x.size());
  dequantize_blocks_cpu(codes.data(), scales.data(), y.data(), count, SerialExecutor());
  const OnDevice<uint8_t> codes_device(codes);
  const OnDevice<float> scales_device(scales);
  const std::string what = "dequantize blocks " + name_of_type<T>() + " " + std::to_string(count);
  expect_all_near<T>(
      run_twice<T>(what, count, [&](T* out) { return dequantize_blocks_cuda(type_of<T>(), codes_device.data(), scales_device.data(), out, count, nullptr); }),
      reals(y), [](double) { return 0.0; }, what);
}

}  // namespace

HALO_CHECK(cuda_dequantize_blocks_as_the_cpu) {
  for_floats([]<class T>() {
    for (const int64_t count : {1, 127, 128, 129, 4096, 10'001}) check_numbers<T>(count);
    if (!is_reduced()) check_numbers<T>(3'000'003);
  });
}

HALO_CHECK(limits_of_dequantize_blocks_are_named) {
  expect_refused(dequantize_blocks_cuda(DType::kInt32, nullptr, nullptr, nowhere, 8, nullptr), kFloatTensors, "int32");
}

}  // namespace halo::check::dequantize_blocks
