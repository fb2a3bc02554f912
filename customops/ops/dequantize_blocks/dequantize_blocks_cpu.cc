#include "ops/dequantize_blocks/dequantize_blocks.h"

namespace halo {

template <class T>
void dequantize_blocks_cpu(const uint8_t* codes, const float* scales, T* x, int64_t count, const Executor& executor) {
  executor.parallel_for(code_blocks(count), kGrain / kCodeBlock, [=](int64_t begin, int64_t end) {
    for (int64_t block = begin; block < end; ++block) {
      const int64_t first = block * kCodeBlock, last = std::min(count, first + kCodeBlock);
      const float scale = scales[block];
      for (int64_t i = first; i < last; ++i) x[i] = from_float<T>(Int8::decode(codes[i]) * scale);
    }
  });
}

template void dequantize_blocks_cpu(const uint8_t*, const float*, float*, int64_t, const Executor&);
template void dequantize_blocks_cpu(const uint8_t*, const float*, BFloat16*, int64_t, const Executor&);
template void dequantize_blocks_cpu(const uint8_t*, const float*, Float16*, int64_t, const Executor&);

}  // namespace halo
