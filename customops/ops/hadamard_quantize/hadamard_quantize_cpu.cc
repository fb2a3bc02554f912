#include "common/absolute_max.h"
#include "common/codes.h"
#include "ops/hadamard_quantize/hadamard_quantize.h"
#include "ops/quantize/quantize.h"

namespace halo {

template <class Format, class T>
void hadamard_quantize_cpu(const T* x, T* rotated, uint8_t* codes, uint8_t* turned, float* scale, int64_t rows, int64_t columns, int axis,
                           const std::vector<HadamardBlock>& blocks, bool inverse, const Executor& executor) {
  hadamard_transform_cpu(x, rotated, rows, columns, axis, blocks, inverse, executor);
  float absmax = 0;
  absolute_max_cpu(rotated, rows * columns, &absmax, executor);
  quantize_cpu<Format>(rotated, &absmax, codes, scale, rows * columns, nullptr, executor);
  if (turned != nullptr) transpose_codes_cpu(codes, turned, rows, columns, executor);
}

#define HALO_INSTANTIATE_TYPE(Format, T)                                                                                                                \
  template void hadamard_quantize_cpu<Format>(const T*, T*, uint8_t*, uint8_t*, float*, int64_t, int64_t, int, const std::vector<HadamardBlock>&, bool, \
                                              const Executor&)
#define HALO_INSTANTIATE(Format)           \
  HALO_INSTANTIATE_TYPE(Format, float);    \
  HALO_INSTANTIATE_TYPE(Format, BFloat16); \
  HALO_INSTANTIATE_TYPE(Format, Float16)
HALO_INSTANTIATE(E4M3);
HALO_INSTANTIATE(E5M2);
HALO_INSTANTIATE(E3M2);
HALO_INSTANTIATE(Int8);
#undef HALO_INSTANTIATE
#undef HALO_INSTANTIATE_TYPE

}  // namespace halo
