// Compiled without contraction (CMakeLists.txt).
#include "ops/weighted_sum/weighted_sum.h"

namespace halo {

namespace {

/// Elements that share a block of random words.
constexpr int64_t kBlock = 8;

}  // namespace

template <class S, class T>
void weighted_sum_cpu(const S* sum, const T* x, const WeightedSumScalars& scalars, S* y, int64_t count, const Executor& executor) {
  const WeightedSumRule rule(scalars);
  const auto next = [=](int64_t i) { return rule(rule.reads() ? to_float(sum[i]) : 0.0f, to_float(x[i])); };
  if constexpr (std::is_same_v<S, float>) {
    executor.parallel_for(count, kGrain, [=](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) y[i] = next(i);
    });
  } else {
    const PhiloxStream stream = weighted_sum_stream(scalars);
    static_assert(kGrain % kBlock == 0);
    executor.parallel_for(count, kGrain, [=](int64_t begin, int64_t end) {
      for (int64_t first = begin; first < end; first += kBlock) {
        const PhiloxBlock block = stream.block(static_cast<uint64_t>(first / kBlock));
        for (int64_t i = first; i < std::min(end, first + kBlock); ++i) y[i] = round_by_chance(next(i), half_of(block, static_cast<int>(i - first)));
      }
    });
  }
}

template void weighted_sum_cpu(const float*, const float*, const WeightedSumScalars&, float*, int64_t, const Executor&);
template void weighted_sum_cpu(const float*, const BFloat16*, const WeightedSumScalars&, float*, int64_t, const Executor&);
template void weighted_sum_cpu(const float*, const Float16*, const WeightedSumScalars&, float*, int64_t, const Executor&);
template void weighted_sum_cpu(const BFloat16*, const float*, const WeightedSumScalars&, BFloat16*, int64_t, const Executor&);
template void weighted_sum_cpu(const BFloat16*, const BFloat16*, const WeightedSumScalars&, BFloat16*, int64_t, const Executor&);
template void weighted_sum_cpu(const BFloat16*, const Float16*, const WeightedSumScalars&, BFloat16*, int64_t, const Executor&);

}  // namespace halo
