#include "ops/rotary_embedding/rotary_embedding.h"

#include "common/dtype.h"

namespace halo {

namespace {

template <class T>
void rotate_row(const T* __restrict x, const float* __restrict cos, const float* __restrict sin, T* __restrict y, int64_t half, float sign) {
  for (int64_t i = 0; i < half; ++i) {
    const float x1 = to_float(x[i]), x2 = to_float(x[half + i]), s = sign * sin[i];
    y[i] = from_float<T>(x1 * cos[i] - x2 * s);
    y[half + i] = from_float<T>(x2 * cos[i] + x1 * s);
  }
}

}  // namespace

template <class T>
Status rotary_embedding_cpu(const T* x, const float* cos, const float* sin, const int64_t* position_ids, T* y, const RotarySizes& sizes, bool inverse,
                            const Executor& executor) {
  if (position_ids == nullptr) {
    HALO_REQUIRE(sizes.tokens <= sizes.positions, "a row of cos and sin for each of " << sizes.tokens << " tokens", sizes.positions,
                 "Make longer tables, or give positions.");
  } else {
    for (int64_t i = 0; i < sizes.batch * sizes.tokens; ++i) {
      HALO_REQUIRE(position_ids[i] >= 0 && position_ids[i] < sizes.positions, "positions in [0, " << sizes.positions << ")", position_ids[i],
                   "Make longer tables, or correct the positions.");
    }
  }
  const int64_t half = sizes.dim / 2;
  const float sign = inverse ? -1.0f : 1.0f;
  executor.parallel_for(sizes.batch * sizes.heads * sizes.tokens, rows_per_task(sizes.dim), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const int64_t token = sizes.layout == HeadLayout::kBhsd ? row % sizes.tokens : row / sizes.heads % sizes.tokens;
      const int64_t batch = row / (sizes.heads * sizes.tokens);
      const int64_t at = position_ids == nullptr ? token : position_ids[batch * sizes.tokens + token];
      rotate_row(x + row * sizes.dim, cos + at * half, sin + at * half, y + row * sizes.dim, half, sign);
    }
  });
  return {};
}

#define HALO_INSTANTIATE(T) \
  template Status rotary_embedding_cpu(const T*, const float*, const float*, const int64_t*, T*, const RotarySizes&, bool, const Executor&)
HALO_INSTANTIATE(float);
HALO_INSTANTIATE(BFloat16);
HALO_INSTANTIATE(Float16);
#undef HALO_INSTANTIATE

}  // namespace halo
