#include "ops/dropout/dropout.h"

#include <cmath>

#include "check/check.h"

namespace halo::check::dropout {

namespace {

template <class T>
void check_type(const std::string& what) {
  for (const int64_t count : {0, 1, 3, 4, 7, 20000, 50001}) {
    for (const float ratio : {0.0f, 0.1f, 0.75f}) {
      const std::string where = what + " of " + std::to_string(count) + " at " + std::to_string(ratio);
      const PhiloxStream random{uint64_t{5} << 33 | 9, 3, 2};
      const auto x = rounded<T>(normal(count, 1));
      Guarded<T> y(count), serial(count);
      dropout_cpu(x.data(), y.data(), count, random, DropoutRule(ratio), ThreadedExecutor());
      expect(y.intact(), where + ": wrote outside");
      int64_t dropped = 0;
      for (int64_t i = 0; i < count; ++i) {
        const double value = static_cast<double>(to_float(x[static_cast<size_t>(i)]));
        const bool drops = random.word(static_cast<uint64_t>(i)) * 0x1p-32 < static_cast<double>(ratio);
        dropped += drops ? 1 : 0;
        const double kept = value / (1 - static_cast<double>(ratio));
        expect_near(to_float(y[i]), drops ? 0 : kept, 3e-7 * std::fabs(kept) + rounding<T>(kept), where);
      }
      // Five standard deviations.
      const double n = static_cast<double>(count), r = static_cast<double>(ratio);
      expect_near(static_cast<double>(dropped), n * r, 5 * std::sqrt(n * r * (1 - r)) + 4, where + ": dropped");
      dropout_cpu(x.data(), serial.data(), count, random, DropoutRule(ratio), SerialExecutor());
      expect(same(serial.data(), y.data(), count), where + ": threads change the result");
    }
  }
}

}  // namespace

HALO_CHECK(dropout_follows_its_words) {
  check_type<float>("float");
  check_type<BFloat16>("bfloat16");
  check_type<Float16>("float16");
}

}  // namespace halo::check::dropout
