// Compiled without contraction (CMakeLists.txt).
#include "ops/adam_w/adam_w.h"

namespace halo {

namespace {

/// Elements that share a block of random words.
constexpr int64_t kBlock = 8;

}  // namespace

template <class T, class G>
void adam_w_cpu(const AdamWTensors<T, G>& t, const AdamWStep& step, const AdamWFactors& factors, int64_t count, const Executor& executor) {
  const AdamWUpdate update(factors, step);
  if constexpr (std::is_same_v<T, float>) {
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
    const AdamWRounding rounding(step);
    static_assert(kGrain % kBlock == 0);
    executor.parallel_for(count, kGrain, [=](int64_t begin, int64_t end) {
      for (int64_t first = begin; first < end; first += kBlock) {
        const auto block = static_cast<uint64_t>(first / kBlock);
        const PhiloxBlock for_p = rounding.p.block(block), for_m = rounding.m.block(block), for_v = rounding.v.block(block);
        for (int64_t i = first; i < std::min(end, first + kBlock); ++i) {
          const auto lane = static_cast<int>(i - first);
          float p = to_float(t.p[i]), m = to_float(t.m[i]), v = to_float(t.v[i]);
          update(p, to_float(t.gradient[i]), m, v);
          t.new_p[i] = round_by_chance(p, bits_of(for_p, lane));
          t.new_m[i] = round_by_chance(m, bits_of(for_m, lane));
          t.new_v[i] = round_by_chance(v, bits_of(for_v, lane));
        }
      }
    });
  }
}

template void adam_w_cpu(const AdamWTensors<float, float>&, const AdamWStep&, const AdamWFactors&, int64_t, const Executor&);
template void adam_w_cpu(const AdamWTensors<BFloat16, float>&, const AdamWStep&, const AdamWFactors&, int64_t, const Executor&);
template void adam_w_cpu(const AdamWTensors<BFloat16, BFloat16>&, const AdamWStep&, const AdamWFactors&, int64_t, const Executor&);

}  // namespace halo
