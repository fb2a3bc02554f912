#include "ops/rms_norm/rms_norm.h"

#include <cmath>

#include "common/dtype.h"
#include "common/reductions.h"

namespace halo {

template <class T>
void rms_norm_cpu(const T* x, const T* weight, T* y, float* inv_rms, int64_t rows, int64_t columns, float epsilon, const Executor& executor) {
  executor.parallel_for(rows, rows_per_task(columns), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const T* in = x + row * columns;
      T* out = y + row * columns;
      const double squares = sum_of(columns, [in](int64_t i) {
        const auto v = static_cast<double>(to_float(in[i]));  // in float32 the square of 1e20 would be Inf
        return v * v;
      });
      const float scale = static_cast<float>(1.0 / std::sqrt(squares / static_cast<double>(columns) + epsilon));
      inv_rms[row] = scale;
      for (int64_t i = 0; i < columns; ++i) out[i] = from_float<T>(to_float(in[i]) * scale * to_float(weight[i]));
    }
  });
}

template void rms_norm_cpu(const float*, const float*, float*, float*, int64_t, int64_t, float, const Executor&);
template void rms_norm_cpu(const BFloat16*, const BFloat16*, BFloat16*, float*, int64_t, int64_t, float, const Executor&);
template void rms_norm_cpu(const Float16*, const Float16*, Float16*, float*, int64_t, int64_t, float, const Executor&);

}  // namespace halo
