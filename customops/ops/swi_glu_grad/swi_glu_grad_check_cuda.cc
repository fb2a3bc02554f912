#include "ops/swi_glu_grad/swi_glu_grad.h"

#include "check/cuda/device.h"
#include "check/cuda/limits.h"
#include "common/absolute_max.h"
#include "ops/quantize_blocks/quantize_blocks.h"
#include "ops/swi_glu/swi_glu.h"

namespace halo::check::swi_glu_grad {

namespace {

const SerialExecutor kSerial;

template <class T>
void check_gradient(int64_t count, bool has_max, bool has_y) {
  const auto gate = numbers<T>(count, 34), up = numbers<T>(count, 35), dy = numbers<T>(count, 36);
  std::vector<T> dgate(gate.size()), dup(gate.size());
  swi_glu_grad_cpu(dy.data(), gate.data(), up.data(), dgate.data(), dup.data(), static_cast<T*>(nullptr), count, kSerial);
  const OnDevice<T> gate_device(gate), up_device(up), dy_device(dy), other(count), again(count), forward(count);
  const OnDevice<float> maxima(2);
  const std::string what = "swi glu " + name_of_type<T>();
  const auto found = run_twice<T>(what + " dgate", count, [&](T* out) {
    return swi_glu_grad_cuda(type_of<T>(), dy_device.data(), gate_device.data(), up_device.data(), nullptr, nullptr, out, other.data(),
                             has_y ? again.data() : nullptr, has_max ? maxima.data() : nullptr, has_max ? maxima.data() + 1 : nullptr, count, nullptr);
  });
  if (has_y) {
    expect_success(swi_glu_cuda(type_of<T>(), gate_device.data(), up_device.data(), forward.data(), nullptr, count, nullptr), what);
    expect(same(again.download(what).data(), forward.download(what).data(), count), what + " Y is that of the forward part, bit by bit");
  }
  float absmax[2];
  absolute_max_cpu(found.data(), count, &absmax[0], kSerial);
  absolute_max_cpu(other.download(what).data(), count, &absmax[1], kSerial);
  if (has_max) expect(maxima.download(what) == std::vector<float>{absmax[0], absmax[1]}, what + " absmax");
  expect_all_near<T>(
      found, reals(dgate), [](double v) { return beside<T>(64)(v) + 2e-6; }, what + " dgate");
  expect_all_near<T>(
      other.download(what), reals(dup), [](double v) { return beside<T>(32)(v) + 1e-34; }, what + " dup");
}

/// Codes give what their numbers give, which float32 holds as they are.
template <class T>
void check_codes(int64_t count) {
  const auto gate = numbers<float>(count, 37), up = numbers<float>(count, 38);
  const auto dy = numbers<T>(count, 36);
  std::vector<uint8_t> gate_codes(gate.size()), up_codes(up.size());
  std::vector<float> gate_scales(static_cast<size_t>(code_blocks(count))), up_scales(gate_scales.size());
  quantize_blocks_cpu(gate.data(), gate_codes.data(), gate_scales.data(), count, kSerial);
  quantize_blocks_cpu(up.data(), up_codes.data(), up_scales.data(), count, kSerial);
  std::vector<T> dgate(gate.size()), dup(gate.size()), y(gate.size());
  swi_glu_grad_of_codes_cpu<T>(dy.data(), {gate_codes.data(), gate_scales.data()}, {up_codes.data(), up_scales.data()}, dgate.data(), dup.data(), y.data(),
                               count, kSerial);
  const OnDevice<T> dy_device(dy), other(count), again(count);
  const OnDevice<uint8_t> gate_device(gate_codes), up_device(up_codes);
  const OnDevice<float> gate_scales_device(gate_scales), up_scales_device(up_scales), maxima(2);
  const std::string what = "swi glu of codes " + name_of_type<T>();
  const auto found = run_twice<T>(what + " dgate", count, [&](T* out) {
    return swi_glu_grad_cuda(type_of<T>(), dy_device.data(), gate_device.data(), up_device.data(), gate_scales_device.data(), up_scales_device.data(), out,
                             other.data(), again.data(), maxima.data(), maxima.data() + 1, count, nullptr);
  });
  expect_all_near<T>(
      found, reals(dgate), [](double v) { return beside<T>(64)(v) + 2e-6; }, what + " dgate");
  expect_all_near<T>(
      other.download(what), reals(dup), [](double v) { return beside<T>(32)(v) + 1e-34; }, what + " dup");
  expect_all_near<T>(
      again.download(what), reals(y), [](double v) { return beside<T>(32)(v) + 1e-34; }, what + " y");
}

}  // namespace

HALO_CHECK(cuda_swi_glu_grad_as_the_cpu, Memory::kShared) {
  for_floats([]<class T>() {
    for (const int64_t count : {1, 13, 4096, 10001}) check_gradient<T>(count, true, true);
    check_gradient<T>(4101, false, false);
    check_gradient<T>(4101, true, false);
    for (const int64_t count : {1, 129, 4101}) check_codes<T>(count);
    if (!is_reduced()) check_gradient<T>(300003, true, true);
  });
}

HALO_CHECK(limits_of_swi_glu_grad_are_named) {
  expect_refused(swi_glu_grad_cuda(DType::kInt32, none, none, none, nullptr, nullptr, nowhere, nowhere, nullptr, nullptr, nullptr, 8, nullptr), kFloatTensors,
                 "int32");
}

}  // namespace halo::check::swi_glu_grad
