#include "ops/swi_glu_grad/swi_glu_grad.h"

#include "common/dtype.h"
#include "common/vector_math.h"

namespace halo {

namespace {

/// Of elements [begin, end), whose gate and up are gate[i - begin] and up[i - begin].
template <class T, class G>
void gradients(const T* dy, const G* gate, const G* up, T* dgate, T* dup, T* y, int64_t begin, int64_t end) {
  for (int64_t i = begin; i < end; ++i) {
    const float error = to_float(dy[i]), g = to_float(gate[i - begin]), u = to_float(up[i - begin]);
    const float s = fast_sigmoid(g);
    dgate[i] = from_float<T>(error * u * s * (1.0f + g * (1.0f - s)));
    dup[i] = from_float<T>(error * (g * s));
    if (y != nullptr) y[i] = from_float<T>(g * s * u);
  }
}

}  // namespace

template <class T>
void swi_glu_grad_cpu(const T* dy, const T* gate, const T* up, T* dgate, T* dup, T* y, int64_t count, const Executor& executor) {
  executor.parallel_for(count, kGrain, [=](int64_t begin, int64_t end) { gradients(dy, gate + begin, up + begin, dgate, dup, y, begin, end); });
}

template <class T>
void swi_glu_grad_of_codes_cpu(const T* dy, BlockCodes gate, BlockCodes up, T* dgate, T* dup, T* y, int64_t count, const Executor& executor) {
  executor.parallel_for(code_blocks(count), kGrain / kCodeBlock, [=](int64_t begin, int64_t end) {
    float gates[kCodeBlock], ups[kCodeBlock];
    for (int64_t block = begin; block < end; ++block) {
      const int64_t first = block * kCodeBlock, last = std::min(count, first + kCodeBlock);
      for (int64_t i = first; i < last; ++i) {
        gates[i - first] = Int8::decode(gate.codes[i]) * gate.scales[block];
        ups[i - first] = Int8::decode(up.codes[i]) * up.scales[block];
      }
      gradients(dy, gates, ups, dgate, dup, y, first, last);
    }
  });
}

template void swi_glu_grad_cpu(const float*, const float*, const float*, float*, float*, float*, int64_t, const Executor&);
template void swi_glu_grad_cpu(const BFloat16*, const BFloat16*, const BFloat16*, BFloat16*, BFloat16*, BFloat16*, int64_t, const Executor&);
template void swi_glu_grad_cpu(const Float16*, const Float16*, const Float16*, Float16*, Float16*, Float16*, int64_t, const Executor&);
template void swi_glu_grad_of_codes_cpu(const float*, BlockCodes, BlockCodes, float*, float*, float*, int64_t, const Executor&);
template void swi_glu_grad_of_codes_cpu(const BFloat16*, BlockCodes, BlockCodes, BFloat16*, BFloat16*, BFloat16*, int64_t, const Executor&);
template void swi_glu_grad_of_codes_cpu(const Float16*, BlockCodes, BlockCodes, Float16*, Float16*, Float16*, int64_t, const Executor&);

}  // namespace halo
