#include "ops/rms_norm_grad/rms_norm_grad.h"

#include <algorithm>

#include "common/dtype.h"
#include "common/reductions.h"

namespace halo {

namespace {

/// Enough for the threads of one socket, and few enough that adding the pieces costs little.
constexpr int64_t kMaxPieces = 64;

/// Columns of the weight's gradient that one task adds up.
constexpr int64_t kColumns = 256;

int64_t rows_per_piece(int64_t rows, int64_t columns) { return std::max(rows_per_task(columns), (rows + kMaxPieces - 1) / kMaxPieces); }

int64_t pieces_of(int64_t rows, int64_t columns) {
  const int64_t grain = rows_per_piece(rows, columns);
  return (rows + grain - 1) / grain;
}

}  // namespace

int64_t rms_norm_grad_partials(int64_t rows, int64_t columns) { return pieces_of(rows, columns) * columns; }

template <class T>
void rms_norm_grad_cpu(const T* dy, const T* x, const T* weight, const float* inv_rms, const T* addend, T* dx, T* dweight, int64_t rows, int64_t columns,
                       float* partial, const Executor& executor) {
  const int64_t grain = rows_per_piece(rows, columns);
  executor.parallel_for(rows, grain, [&](int64_t begin, int64_t end) {
    float* sums = partial + begin / grain * columns;
    std::fill(sums, sums + columns, 0.0f);
    for (int64_t row = begin; row < end; ++row) {
      const T *dy_row = dy + row * columns, *x_row = x + row * columns;
      T* dx_row = dx + row * columns;
      const float scale = inv_rms[row];
      const auto g = [dy_row, weight](int64_t i) { return to_float(dy_row[i]) * to_float(weight[i]); };
      const auto n = [x_row, scale](int64_t i) { return to_float(x_row[i]) * scale; };
      const auto mean = static_cast<float>(sum_of(columns, [g, n](int64_t i) { return g(i) * n(i); }) / static_cast<double>(columns));
      for (int64_t i = 0; i < columns; ++i) sums[i] += to_float(dy_row[i]) * n(i);
      if (addend == nullptr) {
        for (int64_t i = 0; i < columns; ++i) dx_row[i] = from_float<T>(scale * (g(i) - n(i) * mean));
      } else {
        const T* added = addend + row * columns;
        for (int64_t i = 0; i < columns; ++i) dx_row[i] = from_float<T>(scale * (g(i) - n(i) * mean) + to_float(added[i]));
      }
    }
  });
  const int64_t pieces = pieces_of(rows, columns);
  executor.parallel_for(columns, kColumns, [&](int64_t begin, int64_t end) {
    double sums[kColumns] = {};
    for (int64_t piece = 0; piece < pieces; ++piece) {
      for (int64_t i = begin; i < end; ++i) sums[i - begin] += static_cast<double>(partial[piece * columns + i]);
    }
    for (int64_t i = begin; i < end; ++i) dweight[i] = from_float<T>(static_cast<float>(sums[i - begin]));
  });
}

#define HALO_INSTANTIATE(T) \
  template void rms_norm_grad_cpu(const T*, const T*, const T*, const float*, const T*, T*, T*, int64_t, int64_t, float*, const Executor&)
HALO_INSTANTIATE(float);
HALO_INSTANTIATE(BFloat16);
HALO_INSTANTIATE(Float16);
#undef HALO_INSTANTIATE

}  // namespace halo
