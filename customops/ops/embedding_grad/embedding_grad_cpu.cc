#include "ops/embedding_grad/embedding_grad.h"

#include <algorithm>
#include <vector>

namespace halo {

template <class T, class R>
Status embedding_grad_cpu(const T* dy, const int64_t* ids, R* dweight, int64_t count, int64_t columns, TableRows table, const Executor& executor) {
  const int64_t rows = table.rows;
  // Sorted by counting: order[starts[v] ..] are the places of v.
  std::vector<int64_t> starts(static_cast<size_t>(rows + 1), 0), order(static_cast<size_t>(count));
  const auto row_of = [=](int64_t i) { return (ids[i] < 0 ? ids[i] + table.of : ids[i]) - table.first; };
  const auto is_here = [=](int64_t row) { return row >= 0 && row < rows; };
  for (int64_t i = 0; i < count; ++i) {
    HALO_REQUIRE(ids[i] >= -table.of && ids[i] < table.of, "ids in [" << -table.of << ", " << table.of << ")", ids[i] << " in row " << i,
                 "Check what the ids were taken from.");
    if (is_here(row_of(i))) ++starts[static_cast<size_t>(row_of(i) + 1)];
  }
  for (size_t v = 0; v < static_cast<size_t>(rows); ++v) starts[v + 1] += starts[v];
  std::vector<int64_t> next(starts.begin(), starts.end() - 1);
  for (int64_t i = 0; i < count; ++i) {
    if (is_here(row_of(i))) order[static_cast<size_t>(next[static_cast<size_t>(row_of(i))]++)] = i;
  }
  executor.parallel_for(rows, rows_per_task(columns), [&](int64_t begin, int64_t end) {
    std::vector<float> sum(static_cast<size_t>(columns));
    for (int64_t row = begin; row < end; ++row) {
      std::fill(sum.begin(), sum.end(), 0.0f);
      for (int64_t k = starts[static_cast<size_t>(row)]; k < starts[static_cast<size_t>(row + 1)]; ++k) {
        const T* d = dy + order[static_cast<size_t>(k)] * columns;
        for (int64_t i = 0; i < columns; ++i) sum[static_cast<size_t>(i)] += to_float(d[i]);
      }
      R* to = dweight + row * columns;
      for (int64_t i = 0; i < columns; ++i) to[i] = from_float<R>(sum[static_cast<size_t>(i)]);
    }
  });
  return {};
}

#define HALO_INSTANTIATE(T, R) template Status embedding_grad_cpu(const T*, const int64_t*, R*, int64_t, int64_t, TableRows, const Executor&)
HALO_INSTANTIATE(float, float);
HALO_INSTANTIATE(BFloat16, float);
HALO_INSTANTIATE(Float16, float);
HALO_INSTANTIATE(BFloat16, BFloat16);
HALO_INSTANTIATE(Float16, Float16);
#undef HALO_INSTANTIATE

}  // namespace halo
