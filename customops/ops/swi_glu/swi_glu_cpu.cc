#include "ops/swi_glu/swi_glu.h"

#include "common/dtype.h"
#include "common/vector_math.h"

namespace halo {

template <class T>
void swi_glu_cpu(const T* gate, const T* up, T* y, int64_t count, const Executor& executor) {
  executor.parallel_for(count, kGrain, [=](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const float g = to_float(gate[i]);
      y[i] = from_float<T>(g * fast_sigmoid(g) * to_float(up[i]));
    }
  });
}

template void swi_glu_cpu(const float*, const float*, float*, int64_t, const Executor&);
template void swi_glu_cpu(const BFloat16*, const BFloat16*, BFloat16*, int64_t, const Executor&);
template void swi_glu_cpu(const Float16*, const Float16*, Float16*, int64_t, const Executor&);

}  // namespace halo
