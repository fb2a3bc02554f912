#include "check/cuda/device.h"
#include "check/cuda/limits.h"
#include "common/codes.h"
#include "ops/row_codes/row_codes.h"

namespace halo::check::row_codes {

namespace {

const SerialExecutor kSerial;

template <class Format, class T>
void check_blocks(int64_t blocks, int64_t block, int64_t parts) {
  const std::string what = std::string("block codes ") + Format::kName + " " + std::to_string(blocks) + " x " + std::to_string(block);
  const int64_t count = parts * blocks * block;
  const auto x = numbers<T>(count, 41, /*special=*/block == 64);
  std::vector<uint8_t> codes(static_cast<size_t>(count));
  std::vector<float> scales(static_cast<size_t>(parts * blocks)), y(static_cast<size_t>(blocks * block));
  quantize_rows_cpu<Format>(x.data(), codes.data(), scales.data(), parts * blocks, block, kSerial);
  sum_rows_cpu<Format>(codes.data(), scales.data(), y.data(), parts, blocks, block, kSerial);
  const OnDevice<T> x_device(x);
  const OnDevice<float> scales_device(parts * blocks);
  const auto found = run_twice<uint8_t>(what, count, [&](uint8_t* out) {
    return quantize_rows_cuda(Format::kName, type_of<T>(), x_device.data(), out, scales_device.data(), parts * blocks, block, nullptr);
  });
  expect(found == codes, what + ": codes");
  const auto found_scales = scales_device.download(what);
  bool same_scales = true;
  for (size_t i = 0; i < scales.size(); ++i)
    same_scales = same_scales && (found_scales[i] == scales[i] || (std::isnan(found_scales[i]) && std::isnan(scales[i])));
  expect(same_scales, what + ": scales");
  const OnDevice<uint8_t> codes_device(codes);
  const auto sums = run_twice<float>(what + " sum", blocks * block, [&](float* out) {
    return sum_rows_cuda(Format::kType, codes_device.data(), scales_device.data(), out, parts, blocks, block, nullptr);
  });
  bool same_sums = true;
  for (size_t i = 0; i < y.size(); ++i) same_sums = same_sums && (sums[i] == y[i] || (std::isnan(sums[i]) && std::isnan(y[i])));
  expect(same_sums, what + ": sums");
}

}  // namespace

HALO_CHECK(cuda_block_codes_as_the_cpu) {
  for_floats([]<class T>() {
    check_blocks<Int8, T>(9, 64, 3);
    check_blocks<E4M3, T>(5, 96, 2);
    check_blocks<E5M2, T>(3, 7, 1);
    if (!is_reduced()) check_blocks<Int8, T>(5001, 128, 4);
  });
}

HALO_CHECK(limits_of_block_codes_are_named) {
  expect_refused(quantize_rows_cuda("int8", DType::kInt8, none, nowhere, no_floats, 1, 64, nullptr), kFloatTensors, "int8");
  expect_refused(sum_rows_cuda(kFloat, none, nullptr, no_floats, 1, 1, 64, nullptr), "codes of float8e4m3fn, float8e5m2 or int8", "float");
}

}  // namespace halo::check::row_codes
