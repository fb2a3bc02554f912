#include "ops/adam_w/adam_w.h"

#include "check/cuda/device.h"

namespace halo::check {

namespace {

/// In place, as training runs it; the bits of the CPU.
void check_step(int64_t count, bool decays) {
  const std::string what = "adam w " + std::to_string(count) + (decays ? " with decay" : "");
  const auto p = normal(count, 1), gradient = normal(count, 2), m = normal(count, 3);
  auto v = normal(count, 4);
  for (float& x : v) x *= x;
  const std::vector<float> scalars{0.37f, 2e-3f, 0.7f, 0.998f};
  const AdamWFactors factors{.beta1 = 0.9f, .rest1 = 0.1f, .beta2 = 0.999f, .rest2 = 0.001f, .epsilon = 1e-8f};
  const auto step_at = [decays](const float* at) { return AdamWStep{.factor = at, .step_size = at + 1, .root2 = at + 2, .keep = decays ? at + 3 : nullptr}; };
  auto new_p = p, new_m = m, new_v = v;
  adam_w_cpu({.p = new_p.data(),
              .gradient = gradient.data(),
              .m = new_m.data(),
              .v = new_v.data(),
              .new_p = new_p.data(),
              .new_m = new_m.data(),
              .new_v = new_v.data()},
             step_at(scalars.data()), factors, count, SerialExecutor());
  const OnDevice<float> p_device(p), gradient_device(gradient), m_device(m), v_device(v), scalars_device(scalars);
  expect_success(adam_w_cuda({.p = p_device.data(),
                              .gradient = gradient_device.data(),
                              .m = m_device.data(),
                              .v = v_device.data(),
                              .new_p = p_device.data(),
                              .new_m = m_device.data(),
                              .new_v = v_device.data()},
                             step_at(scalars_device.data()), factors, count, nullptr),
                 what);
  const auto exact = [](double) { return 0.0; };
  expect_all_near<float>(p_device.download(what), reals(new_p), exact, what + ": parameter");
  expect_all_near<float>(m_device.download(what), reals(new_m), exact, what + ": first moment");
  expect_all_near<float>(v_device.download(what), reals(new_v), exact, what + ": second moment");
}

}  // namespace

HALO_CHECK(cuda_adam_w_has_the_bits_of_the_cpu) {
  for (const int64_t count : {1, 3, 4, 1023, 5000}) {
    check_step(count, false);
    check_step(count, true);
  }
  if (!is_reduced()) check_step(50'000'001, true);
}

}  // namespace halo::check
