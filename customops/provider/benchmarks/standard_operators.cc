// ONNX's own operators on tensors of a training step.
#include "provider/benchmarks/bench.h"
#include "provider/kernels/elementwise.h"
#include "provider/kernels/gather.h"
#include "provider/kernels/movement.h"
#include "provider/kernels/reduce.h"
#include "provider/kernels/scatter.h"

namespace halo::cuda::bench {

namespace {

Dims dims_of(std::initializer_list<int64_t> sizes) {
  Dims dims;
  for (const int64_t size : sizes) dims.sizes[dims.rank++] = size;
  return dims;
}

}  // namespace

template <class T>
void time_standard_operators(Bench& bench) {
  constexpr DType kType = dtype_of<T>();
  const std::string type = name_of(kType), shape = shape_of({kRows, kColumns});
  const double tensor = static_cast<double>(kCount) * sizeof(T);
  Array<T> a(kCount), b(kCount), vector(kColumns);
  const Array<T> y(kCount);
  fill_normal(a);
  fill_normal(b);
  fill_normal(vector);
  const Array<uint8_t> workspace(int64_t{16} << 20);
  const Dims matrix = dims_of({kRows, kColumns}), row = dims_of({kColumns}), column = dims_of({kRows, 1});
  bench.time("add", type, shape, {.bytes = 3 * tensor},
             [&] { return binary(BinaryOp::kAdd, kType, a.data(), matrix, b.data(), matrix, y.data(), matrix, nullptr); });
  bench.time("mul by row", type, shape, {.bytes = 2 * tensor},
             [&] { return binary(BinaryOp::kMul, kType, a.data(), matrix, vector.data(), row, y.data(), matrix, nullptr); });
  bench.time("mul by column", type, shape, {.bytes = 2 * tensor},
             [&] { return binary(BinaryOp::kMul, kType, a.data(), matrix, b.data(), column, y.data(), matrix, nullptr); });
  bench.time("sigmoid", type, shape, {.bytes = 2 * tensor}, [&] { return unary(UnaryOp::kSigmoid, kType, a.data(), y.data(), kCount, nullptr); });
  bench.time("transpose", type, shape, {.bytes = 2 * tensor}, [&] {
    return transpose(sizeof(T), a.data(), matrix, PerAxis{.values = {1, 0}}, y.data(), nullptr);
  });
  bench.time("transpose heads", type, shape_of({kBatch, kTokens, kHeads, kDim}), {.bytes = 2 * tensor}, [&] {
    return transpose(sizeof(T), a.data(), dims_of({kBatch, kTokens, kHeads, kDim}), PerAxis{.values = {0, 2, 1, 3}}, y.data(), nullptr);
  });
  bench.time("transpose keys", type, shape_of({kBatch, kTokens, kHeads, kDim}), {.bytes = 2 * tensor}, [&] {
    return transpose(sizeof(T), a.data(), dims_of({kBatch, kTokens, kHeads, kDim}), PerAxis{.values = {0, 2, 3, 1}}, y.data(), nullptr);
  });
  for (const int axis : {0, 1}) {
    const bool reduced[] = {axis == 0, axis == 1};
    bench.time("reduce sum axis " + std::to_string(axis), type, shape, {.bytes = tensor},
               [&] { return reduce(ReduceOp::kSum, kType, a.data(), matrix, reduced, y.data(), workspace.data(), workspace.size(), nullptr); });
  }
  const bool all[] = {true, true};
  bench.time("reduce sum all", type, shape, {.bytes = tensor},
             [&] { return reduce(ReduceOp::kSum, kType, a.data(), matrix, all, y.data(), workspace.data(), workspace.size(), nullptr); });
  bench.time("softmax", type, shape, {.bytes = 2 * tensor}, [&] { return softmax(false, kType, a.data(), y.data(), kRows, kColumns, 1, nullptr); });
  // An embedding of rows as wide as a quarter of the model, its gradient added to all of it.
  const int64_t width = kColumns / 4, places = kCount / width;
  std::vector<int64_t> tokens;
  for (int64_t i = 0; i < kRows; ++i) tokens.push_back(i * 37 % std::min(kColumns, places));
  const Array<int64_t> ids(tokens);
  const std::string table = shape_of({places, width}) + ", " + std::to_string(kRows);
  bench.time("gather", type, table, {.bytes = 2.0 * static_cast<double>(kRows * width) * sizeof(T)}, [&] {
    return gather(sizeof(T), a.data(), {ids.data(), DType::kInt64}, kRows, y.data(), 1, places, width, nullptr);
  });
  bench.time("scatter_nd add", type, table, {.bytes = static_cast<double>(2 * kCount + 3 * kRows * width) * sizeof(T)}, [&] {
    return scatter_nd(ScatterReduction::kAdd, kType, a.data(), dims_of({places, width}), {ids.data(), DType::kInt64}, dims_of({kRows, 1}), b.data(), y.data(),
                      workspace.data(), workspace.size(), nullptr);
  });
}

template void time_standard_operators<BFloat16>(Bench&);
template void time_standard_operators<float>(Bench&);

}  // namespace halo::cuda::bench
