// Compiled without contraction (CMakeLists.txt).
#include "ops/adam_w_8_bit/adam_w_8_bit.h"

#include <algorithm>

#include "common/absolute_max.h"

namespace halo {

template <class T, class G>
void adam_w_8_bit_cpu(const AdamW8BitTensors<T, G>& t, const AdamWStep& step, const AdamWFactors& factors, int64_t count, const Executor& executor) {
  const AdamW8BitUpdate update(factors, step);
  executor.parallel_for(code_blocks(count), kGrain / kCodeBlock, [=](int64_t begin, int64_t end) {
    for (int64_t block = begin; block < end; ++block) {
      const int64_t first = block * kCodeBlock, length = std::min(kCodeBlock, count - first);
      const float m_scale = t.m.scales[block], v_scale = t.v.scales[block];
      float m[kCodeBlock], root[kCodeBlock];
      PhiloxBlock random[kCodeBlock / 8];
      for (int64_t i = 0; i < length; ++i) {
        const int64_t at = first + i;
        if (i % 8 == 0) random[i / 8] = update.stream.block(static_cast<uint64_t>(at / 8));
        T p = t.p[at];
        update(p, to_float(t.gradient[at]), t.m.codes[at], m_scale, t.v.codes[at], v_scale, m[i], root[i], random[i / 8], static_cast<int>(i % 8));
        t.new_p[at] = p;
      }
      const auto m_by = MomentScale::of(absolute_max_bits(m, length)), v_by = MomentScale::of(absolute_max_bits(root, length));
      t.m.new_scales[block] = m_by.scale;
      t.v.new_scales[block] = v_by.scale;
      for (int64_t i = 0; i < length; ++i) {
        const int place = static_cast<int>(i % 8);
        t.m.new_codes[first + i] = AdamW8BitUpdate::m_code(m[i], m_by, random[i / 8], place);
        t.v.new_codes[first + i] = AdamW8BitUpdate::v_code(root[i], v_by, random[i / 8], place);
      }
    }
  });
}

template void adam_w_8_bit_cpu(const AdamW8BitTensors<float, float>&, const AdamWStep&, const AdamWFactors&, int64_t, const Executor&);
template void adam_w_8_bit_cpu(const AdamW8BitTensors<BFloat16, float>&, const AdamWStep&, const AdamWFactors&, int64_t, const Executor&);
template void adam_w_8_bit_cpu(const AdamW8BitTensors<BFloat16, BFloat16>&, const AdamWStep&, const AdamWFactors&, int64_t, const Executor&);

}  // namespace halo
