#include "ops/adam_w/adam_w.h"

#include "check/check.h"

namespace halo::check {

HALO_CHECK(adam_w_is_the_formula_one_operation_at_a_time) {
  for (const int64_t count : {1, 7, 100'000}) {
    const auto p = normal(count, 1), gradient = normal(count, 2), m = normal(count, 3);
    auto v = normal(count, 4);
    for (float& x : v) x *= x;
    const float scalars[4] = {0.37f, 2e-3f, 0.7f, 0.998f};
    Guarded<float> new_p(count), new_m(count), new_v(count);
    adam_w_cpu({.p = p.data(), .gradient = gradient.data(), .m = m.data(), .v = v.data(), .new_p = new_p.data(), .new_m = new_m.data(), .new_v = new_v.data()},
               {.factor = scalars, .step_size = scalars + 1, .root2 = scalars + 2, .keep = scalars + 3},
               {.beta1 = 0.9f, .rest1 = 0.1f, .beta2 = 0.999f, .rest2 = 0.001f, .epsilon = 1e-8f}, count, ThreadedExecutor());
    expect(new_p.intact() && new_m.intact() && new_v.intact(), "wrote outside");
    for (size_t i = 0; i < p.size(); ++i) {
      // Volatile: rounded after each operation, whatever the compiler contracts.
      volatile float g = gradient[i] * scalars[0], gg = g * g, a = m[i] * 0.9f, b = g * 0.1f, c = v[i] * 0.999f, d = gg * 0.001f;
      volatile float mi = a + b, vi = c + d, root = std::sqrt(vi), scaled = root / scalars[2], sum = scaled + 1e-8f, direction = mi / sum;
      volatile float old = p[i] * scalars[3], change = direction * scalars[1];
      const auto at = static_cast<int64_t>(i);
      expect(new_m[at] == mi && new_v[at] == vi && new_p[at] == old - change, "element " + std::to_string(i));
    }
  }
}

}  // namespace halo::check
