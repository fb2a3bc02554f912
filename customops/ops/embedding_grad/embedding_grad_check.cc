#include "ops/embedding_grad/embedding_grad.h"

#include <array>
#include <cmath>

#include "check/check.h"

namespace halo::check::embedding_grad {

namespace {

template <class T, class R>
void check_sums(int64_t count, int64_t columns, int64_t rows) {
  const std::string where = std::to_string(count) + " x " + std::to_string(columns) + " into " + std::to_string(rows) + ": ";
  const auto dy = rounded<T>(normal(count * columns, static_cast<uint32_t>(count + columns)));
  std::vector<int64_t> ids;
  for (int64_t i = 0; i < count; ++i) ids.push_back(i * 31 % rows - (i % 2 == 0 ? rows : 0));
  Guarded<R> dweight(rows * columns), serial(rows * columns);
  expect(embedding_grad_cpu(dy.data(), ids.data(), dweight.data(), count, columns, TableRows::all(rows), ThreadedExecutor()).ok(), where + "refused");
  expect(embedding_grad_cpu(dy.data(), ids.data(), serial.data(), count, columns, TableRows::all(rows), SerialExecutor()).ok(), where + "refused");
  expect(dweight.intact(), where + "wrote outside");
  expect(same(dweight.data(), serial.data(), rows * columns), where + "threads changed bits");
  std::vector<double> sums(static_cast<size_t>(rows * columns)), sizes(sums.size());
  for (int64_t i = 0; i < count * columns; ++i) {
    const double d = static_cast<double>(to_float(dy[static_cast<size_t>(i)]));
    const auto at = static_cast<size_t>(i / columns * 31 % rows * columns + i % columns);
    sums[at] += d;
    sizes[at] += std::fabs(d);
  }
  for (size_t i = 0; i < sums.size(); ++i) {
    expect_near(to_float(dweight[static_cast<int64_t>(i)]), sums[i], static_cast<double>(count) * 0x1p-24 * sizes[i] + rounding<R>(sums[i]), where + "sum");
  }
}

}  // namespace

HALO_CHECK(embedding_grad) {
  for (const auto& [count, columns, rows] : {std::array<int64_t, 3>{1, 1, 1}, {0, 4, 3}, {7, 33, 3}, {300, 64, 5}, {50, 8, 1000}}) {
    check_sums<float, float>(count, columns, rows);
    check_sums<BFloat16, float>(count, columns, rows);
    check_sums<BFloat16, BFloat16>(count, columns, rows);
    check_sums<Float16, float>(count, columns, rows);
    check_sums<Float16, Float16>(count, columns, rows);
  }
}

/// Parts of a table are the rows of the whole one, to the bit.
HALO_CHECK(embedding_grad_of_a_part) {
  constexpr int64_t kCount = 60, kColumns = 5, kRows = 11;
  const auto dy = normal(kCount * kColumns, 1);
  std::vector<int64_t> ids;
  for (int64_t i = 0; i < kCount; ++i) ids.push_back(i * i % kRows - (i % 4 == 0 ? kRows : 0));
  std::vector<float> whole(kRows * kColumns);
  expect(embedding_grad_cpu(dy.data(), ids.data(), whole.data(), kCount, kColumns, TableRows::all(kRows), SerialExecutor()).ok(), "refused");
  for (const auto& [first, rows] : {std::array<int64_t, 2>{0, 4}, {4, 4}, {8, 3}, {10, 1}}) {
    Guarded<float> part(rows * kColumns);
    const TableRows table{.first = first, .rows = rows, .of = kRows};
    expect(embedding_grad_cpu(dy.data(), ids.data(), part.data(), kCount, kColumns, table, ThreadedExecutor()).ok(), "part refused");
    expect(part.intact(), "part wrote outside");
    expect(same(part.data(), whole.data() + first * kColumns, rows * kColumns), "rows from " + std::to_string(first) + " on differ");
  }
}

HALO_CHECK(embedding_grad_refuses_ids_out_of_range) {
  const float dy[2] = {1, 2};
  for (const int64_t wrong : {3, -4}) {
    const int64_t ids[2] = {0, wrong};
    float dweight[3];
    const Status status = embedding_grad_cpu(dy, ids, dweight, 2, 1, TableRows::all(3), SerialExecutor());
    expect(status.message().find("expected ids in [-3, 3), found " + std::to_string(wrong) + " in row 1.") != std::string::npos, status.message());
  }
}

}  // namespace halo::check::embedding_grad
