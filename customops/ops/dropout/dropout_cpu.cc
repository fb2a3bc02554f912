#include "ops/dropout/dropout.h"

namespace halo {

template <class T>
void dropout_cpu(const T* x, T* y, int64_t count, const PhiloxStream& random, const DropoutRule& rule, const Executor& executor) {
  static_assert(kGrain % 4 == 0, "a task begins with a block of words");
  executor.parallel_for(count, kGrain, [&](int64_t begin, int64_t end) {
    for (int64_t at = begin; at < end; at += 4) {
      const PhiloxBlock block = random.block(static_cast<uint64_t>(at / 4));
      for (int64_t i = at; i < end && i < at + 4; ++i) y[i] = rule(x[i], block.words[i - at]);
    }
  });
}

template void dropout_cpu(const float*, float*, int64_t, const PhiloxStream&, const DropoutRule&, const Executor&);
template void dropout_cpu(const BFloat16*, BFloat16*, int64_t, const PhiloxStream&, const DropoutRule&, const Executor&);
template void dropout_cpu(const Float16*, Float16*, int64_t, const PhiloxStream&, const DropoutRule&, const Executor&);

}  // namespace halo
