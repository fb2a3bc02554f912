#include "ops/square_sum/square_sum.h"

#include "check/check.h"

namespace halo::check::square_sum {

namespace {

template <class T>
void check_type() {
  for (const int64_t count : {0, 1, 17, 100'003}) {
    const auto x = rounded<T>(normal(count, 1));
    double sum = 0;
    for (const T& value : x) sum += static_cast<double>(to_float(value)) * to_float(value);
    Guarded<float> y(1), serial(1);
    square_sum_cpu(x.data(), y.data(), count, ThreadedExecutor());
    square_sum_cpu(x.data(), serial.data(), count, SerialExecutor());
    expect_near(y[0], sum, 1e-7 * sum, "sum of " + std::to_string(count));
    expect(y.intact() && y[0] == serial[0], "the same for any threads");
  }
}

}  // namespace

HALO_CHECK(square_sum_is_the_sum) {
  check_type<float>();
  check_type<BFloat16>();
  check_type<Float16>();
}

}  // namespace halo::check::square_sum
