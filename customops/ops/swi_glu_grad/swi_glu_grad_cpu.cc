#include "ops/swi_glu_grad/swi_glu_grad.h"

#include "common/dtype.h"
#include "common/vector_math.h"

namespace halo {

template <class T>
void swi_glu_grad_cpu(const T* dy, const T* gate, const T* up, T* dgate, T* dup, int64_t count, const Executor& executor) {
  executor.parallel_for(count, kGrain, [=](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const float error = to_float(dy[i]), g = to_float(gate[i]), u = to_float(up[i]);
      const float s = fast_sigmoid(g);
      dgate[i] = from_float<T>(error * u * s * (1.0f + g * (1.0f - s)));
      dup[i] = from_float<T>(error * (g * s));
    }
  });
}

template void swi_glu_grad_cpu(const float*, const float*, const float*, float*, float*, int64_t, const Executor&);
template void swi_glu_grad_cpu(const BFloat16*, const BFloat16*, const BFloat16*, BFloat16*, BFloat16*, int64_t, const Executor&);
template void swi_glu_grad_cpu(const Float16*, const Float16*, const Float16*, Float16*, Float16*, int64_t, const Executor&);

}  // namespace halo
