#include "ops/dequantize_int4/dequantize_int4.h"

#include <algorithm>

namespace halo {

template <class T>
void dequantize_int4_cpu(const Int4Matrix& matrix, T* x, const Executor& executor) {
  const int64_t blocks = int4_blocks(matrix.columns);
  executor.parallel_for(matrix.rows * blocks, kGrain / kInt4Block, [=](int64_t begin, int64_t end) {
    for (int64_t block = begin; block < end; ++block) {
      const int64_t row = block / blocks, first = block % blocks * kInt4Block, count = std::min(matrix.columns - first, kInt4Block);
      const uint8_t* codes = matrix.codes + block * (kInt4Block / 2);
      const float scale = to_float(matrix.scales[block]);
      const int zero = matrix.zeros[block];
      T* target = x + row * matrix.columns + first;
      for (int64_t i = 0; i < count; ++i) {
        const int code = i % 2 == 0 ? codes[i / 2] & 15 : codes[i / 2] >> 4;
        target[i] = from_float<T>(static_cast<float>(code - zero) * scale);
      }
    }
  });
}

template void dequantize_int4_cpu(const Int4Matrix&, float*, const Executor&);
template void dequantize_int4_cpu(const Int4Matrix&, BFloat16*, const Executor&);
template void dequantize_int4_cpu(const Int4Matrix&, Float16*, const Executor&);

}  // namespace halo
