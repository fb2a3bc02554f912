#include "ops/embedding_grad/embedding_grad.h"

#include "check/cuda/device.h"

namespace halo::check::embedding_grad {

namespace {

/// Whole numbers below 4 are summed exactly in whatever order; others to the roundings of their number.
template <class T, class R>
void check_sums(int64_t count, int64_t columns, int64_t rows, int64_t spread, bool is_exact, TableRows table) {
  std::vector<T> dy = numbers<T>(count * columns, static_cast<uint32_t>(count + columns));
  if (is_exact) {
    for (size_t i = 0; i < dy.size(); ++i) dy[i] = typed<T>(static_cast<double>(i * 7 % 5) - 2);
  }
  std::vector<int64_t> ids;
  for (int64_t i = 0; i < count; ++i) ids.push_back(i * i * 31 % spread - (i % 3 == 0 ? table.of : 0));
  std::vector<R> expected(static_cast<size_t>(rows * columns));
  const Status status = embedding_grad_cpu(dy.data(), ids.data(), expected.data(), count, columns, table, SerialExecutor());
  expect(status.ok(), status.message());
  const OnDevice<T> dy_device(dy);
  const OnDevice<int64_t> ids_device(ids);
  const OnDevice<uint8_t> workspace(embedding_grad_workspace_cuda(count, columns));
  const std::string what = "embedding grad " + name_of_type<T>() + " to " + name_of_type<R>() + " " + std::to_string(count) + " x " + std::to_string(columns) +
                           " into " + std::to_string(rows);
  const auto found = run_twice<R>(what, rows * columns, [&](R* out) {
    return embedding_grad_cuda(type_of<T>(), type_of<R>(), dy_device.data(), ids_device.data(), out, count, columns, table, workspace.data(), nullptr);
  });
  workspace.download(what + " workspace");
  const double size = is_exact ? 0 : 1000 * static_cast<double>(count);
  expect_all_near<R>(
      found, reals(expected), [size](double v) { return size == 0 ? 0 : 2 * within<R>(4)(v) + size * 0x1p-24; }, what);
}

template <class T, class R>
void check_sums(int64_t count, int64_t columns, int64_t rows, int64_t spread, bool is_exact) {
  check_sums<T, R>(count, columns, rows, spread, is_exact, TableRows::all(rows));
}

template <class T, class R>
void check_all() {
  check_sums<T, R>(1, 1, 1, 1, false);
  check_sums<T, R>(33, 40, 7, 7, true);
  check_sums<T, R>(200, 8, 3, 1, true);         // one id owns all places
  check_sums<T, R>(100, 1032, 300, 300, true);  // most rows have none
  check_sums<T, R>(70, 13, 70000, 65000, false);
  check_sums<T, R>(200, 40, 40, 100, false, {.first = 30, .rows = 40, .of = 100});
  check_sums<T, R>(100, 8, 255, 300, true, {.first = 45, .rows = 255, .of = 300});  // more digits for what is no row of it
  check_sums<T, R>(100, 8, 50, 40, true, {.first = 50, .rows = 50, .of = 100});     // nothing goes to it
  if (is_reduced()) return;
  check_sums<T, R>(16384, 4096, 2048, 2048, true);
  check_sums<T, R>(5000, 2048, 128256, 128000, false);
}

}  // namespace

HALO_CHECK(cuda_embedding_grad, Memory::kShared) {
  check_all<float, float>();
  check_all<BFloat16, float>();
  check_all<Float16, float>();
  check_all<BFloat16, BFloat16>();
  check_all<Float16, Float16>();
}

HALO_CHECK(cuda_embedding_grad_notes_ids_out_of_range) {
  for (const int64_t wrong : {3, -4}) {
    const OnDevice<float> dy(std::vector<float>{1, 2, 4});
    const OnDevice<int64_t> ids(std::vector<int64_t>{0, wrong, 2});
    const OnDevice<uint8_t> workspace(embedding_grad_workspace_cuda(3, 1));
    const auto found = run_twice<float>("embedding grad out of range", 3, [&](float* out) {
      return embedding_grad_cuda(DType::kFloat, DType::kFloat, dy.data(), ids.data(), out, 3, 1, TableRows::all(3), workspace.data(), nullptr);
    });
    expect_all_near<float>(
        found, {NAN, 0, 4}, [](double) { return 0.0; }, "embedding grad out of range");
  }
}

}  // namespace halo::check::embedding_grad
