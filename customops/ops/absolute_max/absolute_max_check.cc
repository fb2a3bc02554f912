#include "ops/absolute_max/absolute_max.h"

#include <cmath>

#include "check/check.h"

namespace halo::check::absolute_max {

namespace {

template <class T>
void check_type() {
  for (const int64_t count : {1, 17, 100'003}) {
    auto x = rounded<T>(normal(count, 1));
    float largest = 0;
    for (const T& value : x) largest = std::max(largest, std::abs(to_float(value)));
    Guarded<float> y(1), serial(1);
    absolute_max_cpu(x.data(), count, y.data(), ThreadedExecutor());
    absolute_max_cpu(x.data(), count, serial.data(), SerialExecutor());
    expect(y.intact() && y[0] == largest && serial[0] == largest, "largest of " + std::to_string(count));
    x.back() = from_float<T>(std::nanf(""));
    absolute_max_cpu(x.data(), count, y.data(), ThreadedExecutor());
    expect(std::isnan(y[0]), "a NaN among " + std::to_string(count));
  }
}

}  // namespace

HALO_CHECK(absolute_max_is_the_largest_magnitude) {
  check_type<float>();
  check_type<BFloat16>();
  check_type<Float16>();
}

}  // namespace halo::check::absolute_max
