#include "ops/adam_w/adam_w.h"

#include "check/cuda/device.h"

namespace halo::check::adam_w {

namespace {

/// In place, as training runs it; the bits of the CPU.
template <class T, class G>
void check_step(int64_t count, bool decays) {
  const std::string what = std::string("adam w ") + name_of(dtype_of<T>()) + " " + std::to_string(count) + (decays ? " with decay" : "");
  auto squares = normal(count, 4);
  for (float& x : squares) x *= x;
  const auto p = rounded<T>(normal(count, 1)), m = rounded<T>(normal(count, 3)), v = rounded<T>(squares);
  const auto gradient = rounded<G>(normal(count, 2));
  const std::vector<float> scalars{0.37f, 2e-3f, 0.7f, 0.998f};
  const std::vector<int64_t> numbers{3, (int64_t{5} << 32) + 1};
  const AdamWFactors factors{.beta1 = 0.9f, .rest1 = 0.1f, .beta2 = 0.999f, .rest2 = 0.001f, .epsilon = 1e-8f};
  const auto step_at = [decays](const float* at, const int64_t* number) {
    return AdamWStep{
        .factor = at, .step_size = at + 1, .root2 = at + 2, .keep = decays ? at + 3 : nullptr, .chance = {.step = number, .seed = number + 1, .tensor = 7}};
  };
  auto new_p = p, new_m = m, new_v = v;
  adam_w_cpu<T, G>({.p = new_p.data(),
                    .gradient = gradient.data(),
                    .m = new_m.data(),
                    .v = new_v.data(),
                    .new_p = new_p.data(),
                    .new_m = new_m.data(),
                    .new_v = new_v.data()},
                   step_at(scalars.data(), numbers.data()), factors, count, SerialExecutor());
  const OnDevice<T> p_device(p), m_device(m), v_device(v);
  const OnDevice<G> gradient_device(gradient);
  const OnDevice<float> scalars_device(scalars);
  const OnDevice<int64_t> numbers_device(numbers);
  expect_success(adam_w_cuda<T, G>({.p = p_device.data(),
                                    .gradient = gradient_device.data(),
                                    .m = m_device.data(),
                                    .v = v_device.data(),
                                    .new_p = p_device.data(),
                                    .new_m = m_device.data(),
                                    .new_v = v_device.data()},
                                   step_at(scalars_device.data(), numbers_device.data()), factors, count, nullptr),
                 what);
  const auto exact = [](double) { return 0.0; };
  expect_all_near<T>(p_device.download(what), reals(new_p), exact, what + ": parameter");
  expect_all_near<T>(m_device.download(what), reals(new_m), exact, what + ": first moment");
  expect_all_near<T>(v_device.download(what), reals(new_v), exact, what + ": second moment");
}

}  // namespace

HALO_CHECK(cuda_adam_w_has_the_bits_of_the_cpu) {
  for (const int64_t count : {1, 3, 4, 8, 1023, 5000}) {
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

}  // namespace halo::check::adam_w
