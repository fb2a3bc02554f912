#include "ops/weighted_sum/weighted_sum.h"

#include "check/check.h"

namespace halo::check {

namespace {

template <class T>
void check_type() {
  for (const int64_t count : {0, 1, 17, 100'003}) {
    const auto x = rounded<T>(normal(count, 1));
    const auto sum = rounded<float>(normal(count, 2));
    const float keep = 1.0f, weight = 0.3f;
    Guarded<float> y(count), in_place(count);
    for (int64_t i = 0; i < count; ++i) in_place.data()[i] = sum[static_cast<size_t>(i)];
    weighted_sum_cpu(sum.data(), x.data(), &keep, &weight, y.data(), count, ThreadedExecutor());
    weighted_sum_cpu<T>(in_place.data(), x.data(), &keep, &weight, in_place.data(), count, SerialExecutor());
    bool is_right = true;
    for (int64_t i = 0; i < count; ++i) {
      const volatile float product = to_float(x[static_cast<size_t>(i)]) * weight;  // volatile: rounded before it is added
      const float expected = sum[static_cast<size_t>(i)] + product;
      is_right = is_right && y.data()[i] == expected && in_place.data()[i] == expected;
    }
    expect(is_right, "each operation rounded, in place too");
    expect(y.intact() && in_place.intact(), "nothing written beside");
  }
}

}  // namespace

HALO_CHECK(weighted_sum_is_the_sum) {
  check_type<float>();
  check_type<BFloat16>();
  check_type<Float16>();
}

}  // namespace halo::check
