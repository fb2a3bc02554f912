#include "ops/quantize_blocks/quantize_blocks.h"

#include "check/cuda/device.h"
#include "check/cuda/limits.h"

namespace halo::check::quantize_blocks {

namespace {

template <class T>
void check_blocks(int64_t count, bool special) {
  const auto x = numbers<T>(count, 61, special);
  std::vector<uint8_t> codes(x.size());
  std::vector<float> scales(static_cast<size_t>(code_blocks(count)));
  quantize_blocks_cpu(x.data(), codes.data(), scales.data(), count, SerialExecutor());
  const OnDevice<T> x_device(x);
  const OnDevice<float> scales_device(code_blocks(count));
  const std::string what = "quantize blocks " + name_of_type<T>() + " " + std::to_string(count) + (special ? ", not all finite" : "");
  const auto found = run_twice<uint8_t>(
      what, count, [&](uint8_t* out) { return quantize_blocks_cuda(type_of<T>(), x_device.data(), out, scales_device.data(), count, nullptr); });
  const auto found_scales = scales_device.download(what);
  for (size_t i = 0; i < codes.size(); ++i) {
    const size_t block = i / static_cast<size_t>(kCodeBlock);
    expect(std::isnan(scales[block]) ? std::isnan(found_scales[block]) : found_scales[block] == scales[block] && found[i] == codes[i],
           what + ": element " + std::to_string(i));
  }
}

}  // namespace

HALO_CHECK(cuda_quantize_blocks_as_the_cpu) {
  for_floats([]<class T>() {
    for (const int64_t count : {1, 127, 128, 129, 4096, 10'001}) check_blocks<T>(count, false);
    check_blocks<T>(3000, true);
    if (!is_reduced()) check_blocks<T>(3'000'003, false);
  });
}

HALO_CHECK(limits_of_quantize_blocks_are_named) {
  expect_refused(quantize_blocks_cuda(DType::kInt32, none, nullptr, nullptr, 8, nullptr), kFloatTensors, "int32");
}

}  // namespace halo::check::quantize_blocks
