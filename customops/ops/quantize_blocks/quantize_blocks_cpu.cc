#include "ops/quantize_blocks/quantize_blocks.h"

#include <algorithm>

#include "common/absolute_max.h"

namespace halo {

template <class T>
void quantize_blocks_cpu(const T* x, uint8_t* codes, float* scales, int64_t count, const Executor& executor) {
  executor.parallel_for(code_blocks(count), kGrain / kCodeBlock, [=](int64_t begin, int64_t end) {
    for (int64_t block = begin; block < end; ++block) {
      const int64_t first = block * kCodeBlock, last = std::min(count, first + kCodeBlock);
      const BlockScale by = BlockScale::of(absolute_max_bits(x + first, last - first));
      scales[block] = by.scale;
      for (int64_t i = first; i < last; ++i) codes[i] = Int8::encode(to_float(x[i]) * by.inverse);
    }
  });
}

template void quantize_blocks_cpu(const float*, uint8_t*, float*, int64_t, const Executor&);
template void quantize_blocks_cpu(const BFloat16*, uint8_t*, float*, int64_t, const Executor&);
template void quantize_blocks_cpu(const Float16*, uint8_t*, float*, int64_t, const Executor&);

}  // namespace halo
