#include "ops/adam_w_8_bit/adam_w_8_bit.h"

#include "check/cuda/device.h"

namespace halo::check::adam_w_8_bit {

namespace {

/// In place, as training runs it; the bits of the CPU.
template <class T, class G>
void check_step(int64_t count, bool decays) {
  const std::string what = std::string("adam w of 8 bits ") + name_of(dtype_of<T>()) + " " + std::to_string(count) + (decays ? " with decay" : "");
  const auto p = rounded<T>(normal(count, 1));
  const auto gradient = rounded<G>(normal(count, 2));
  const auto random = normal(count, 3);
  std::vector<uint8_t> m, v;
  for (const float x : random) {
    m.push_back(E4M3::encode(100 * x));
    v.push_back(static_cast<uint8_t>(E4M3::encode(90 * x) & 0x7F));
  }
  std::vector<float> m_scales(static_cast<size_t>(code_blocks(count)), 0.003f), v_scales(m_scales.size(), 0.02f);
  const std::vector<float> scalars{0.37f, 2e-3f, 0.7f, 0.998f};
  const std::vector<int64_t> numbers{3, (int64_t{5} << 32) + 1};
  const AdamWFactors factors{.beta1 = 0.9f, .rest1 = 0.1f, .beta2 = 0.999f, .rest2 = 0.001f, .epsilon = 1e-8f};
  const auto step_at = [decays](const float* at, const int64_t* number) {
    return AdamWStep{
        .factor = at, .step_size = at + 1, .root2 = at + 2, .keep = decays ? at + 3 : nullptr, .chance = {.step = number, .seed = number + 1, .tensor = 7}};
  };
  const OnDevice<T> p_device(p);
  const OnDevice<G> gradient_device(gradient);
  const OnDevice<uint8_t> m_device(m), v_device(v);
  const OnDevice<float> scalars_device(scalars), m_scales_device(m_scales), v_scales_device(v_scales);
  const OnDevice<int64_t> numbers_device(numbers);
  expect_success(adam_w_8_bit_cuda<T, G>({.p = p_device.data(),
                                          .gradient = gradient_device.data(),
                                          .new_p = p_device.data(),
                                          .m = {m_device.data(), m_scales_device.data(), m_device.data(), m_scales_device.data()},
                                          .v = {v_device.data(), v_scales_device.data(), v_device.data(), v_scales_device.data()}},
                                         step_at(scalars_device.data(), numbers_device.data()), factors, count, nullptr),
                 what);
  auto new_p = p;
  adam_w_8_bit_cpu<T, G>({.p = new_p.data(),
                          .gradient = gradient.data(),
                          .new_p = new_p.data(),
                          .m = {m.data(), m_scales.data(), m.data(), m_scales.data()},
                          .v = {v.data(), v_scales.data(), v.data(), v_scales.data()}},
                         step_at(scalars.data(), numbers.data()), factors, count, SerialExecutor());
  expect_all_near<T>(
      p_device.download(what), reals(new_p), [](double) { return 0.0; }, what + ": parameter");
  expect(m_device.download(what) == m && v_device.download(what) == v, what + ": codes");
  expect(m_scales_device.download(what) == m_scales && v_scales_device.download(what) == v_scales, what + ": scales");
}

}  // namespace

HALO_CHECK(cuda_adam_w_of_8_bits_has_the_bits_of_the_cpu) {
  for (const int64_t count : {1, 8, 127, 128, 1023, 5000}) {
    for (const bool decays : {false, true}) {
      check_step<float, float>(count, decays);
      check_step<BFloat16, float>(count, decays);
      check_step<BFloat16, BFloat16>(count, decays);
    }
  }
  if (is_reduced()) return;
  check_step<float, float>(50'000'001, true);
  check_step<BFloat16, BFloat16>(50'000'001, true);
}

}  // namespace halo::check::adam_w_8_bit
