// Compiled without contraction (CMakeLists.txt).
#include "ops/adam_w/adam_w.h"

namespace halo {

namespace {

/// Elements that share a block of random words.
constexpr int64_t kBlock = 8;

}  // namespace

template <class T, class G>
void adam_w_cpu(const AdamWTensors<T, G>& t, const AdamWStep& step, const AdamWFactors& factors, int64_t count, const Executor& executor) {
  if constexpr (std::is_same_v<T, float>) {
    const AdamWUpdate update(factors, step);
    executor.parallel_for(count, kGrain, [=](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        float p = t.p[i], m = t.m[i], v = t.v[i];
        update(p, t.gradient[i], m, v);
        t.new_p[i] = p;
        t.new_m[i] = m;
        t.new_v[i] = v;
      }
    });
  } else {
    const AdamWRounded rounded(factors, step);
    static_assert(kGrain % kBlock == 0);
    executor.parallel_for(count, kGrain, [=](int64_t begin, int64_t end) {
      for (int64_t first = begin; first < end; first += kBlock) {
        const PhiloxBlock block = rounded.stream.block(static_cast<uint64_t>(first / kBlock));
        for (int64_t i = first; i < std::min(end, first + kBlock); ++i) {
          BFloat16 p = t.p[i], m = t.m[i], v = t.v[i];
          rounded(p, to_float(t.gradient[i]), m, v, block, static_cast<int>(i - first));
          t.new_p[i] = p;
          t.new_m[i] = m;
          t.new_v[i] = v;
        }
      }
    });
  }
}

template void adam_w_cpu(const AdamWTensors<float, float>&, const AdamWStep&, const AdamWFactors&, int64_t, const Executor&);
template void adam_w_cpu(const AdamWTensors<BFloat16, float>&, const AdamWStep&, const AdamWFactors&, int64_t, const Executor&);
template void adam_w_cpu(const AdamWTensors<BFloat16, BFloat16>&, const AdamWStep&, const AdamWFactors&, int64_t, const Executor&);

}  // namespace halo
