// Compiled without contraction (CMakeLists.txt).
#include "ops/adam_w/adam_w.h"

namespace halo {

void adam_w_cpu(const AdamWTensors& t, const AdamWStep& step, const AdamWFactors& factors, int64_t count, const Executor& executor) {
  const AdamWUpdate update{.factors = factors,
                           .factor = *step.factor,
                           .step_size = *step.step_size,
                           .root2 = *step.root2,
                           .keep = step.keep ? *step.keep : 1.0f,
                           .decays = step.keep != nullptr};
  executor.parallel_for(count, kGrain, [=](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      float p = t.p[i], m = t.m[i], v = t.v[i];
      update(p, t.gradient[i], m, v);
      t.new_p[i] = p;
      t.new_m[i] = m;
      t.new_v[i] = v;
    }
  });
}

}  // namespace halo
