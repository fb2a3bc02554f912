// The operators of com.halo that memory bounds, on tensors of a training step.
#include "ops/cross_entropy/cross_entropy.h"
#include "ops/cross_entropy_grad/cross_entropy_grad.h"
#include "ops/embedding_grad/embedding_grad.h"
#include "ops/hadamard_transform/hadamard_transform.h"
#include "ops/quantize/quantize.h"
#include "ops/rms_norm/rms_norm.h"
#include "ops/rms_norm_grad/rms_norm_grad.h"
#include "ops/rotary_embedding/rotary_embedding.h"
#include "ops/swi_glu/swi_glu.h"
#include "ops/swi_glu_grad/swi_glu_grad.h"
#include "provider/benchmarks/bench.h"

namespace halo::cuda::bench {

namespace {

/// Along each axis, in every size whose vectors the tensor holds: powers of two, and those of the feed-forward layers of llama-tiny, LLaMA 2 and LLaMA 3.
template <class T>
void time_rotations(Bench& bench, const Array<T>& x, const Array<T>& y) {
  for (const int64_t size : {256, 704, 1024, 4096, 11008, 14336}) {
    for (const int axis : {1, 0}) {
      const int64_t others = kCount / size / 8 * 8, rows = axis == 1 ? others : size, columns = axis == 1 ? size : others;
      if (others == 0) continue;
      bench.time("hadamard_transform " + std::to_string(size) + " axis " + std::to_string(axis), name_of(dtype_of<T>()), shape_of({rows, columns}),
                 {.bytes = 2.0 * static_cast<double>(rows * columns) * sizeof(T)},
                 [&, size] { return hadamard_transform_cuda(dtype_of<T>(), x.data(), y.data(), rows, columns, axis, &size, 1, false, nullptr); });
    }
  }
}

}  // namespace

template <class T>
void time_halo_operators(Bench& bench) {
  constexpr DType kType = dtype_of<T>();
  const std::string type = name_of(kType), shape = shape_of({kRows, kColumns});
  const double tensor = static_cast<double>(kCount) * sizeof(T);
  Array<T> a(kCount), b(kCount), c(kCount), vector(kColumns);
  const Array<T> y(kCount), z(kCount);
  fill_normal(a);
  fill_normal(b);
  fill_normal(c);
  fill_normal(vector);
  Array<float> rows(kRows), angles(kTokens * kDim / 2);
  fill_normal(rows);
  fill_normal(angles);
  const Array<float> scalar(std::vector<float>{1.0f});
  const Array<uint8_t> codes(kCount), turned(kCount),
      workspace(std::max({rms_norm_grad_workspace_cuda(kRows, kColumns), cross_entropy_workspace_cuda(kRows), quantize_workspace_cuda(),
                          embedding_grad_workspace_cuda(kRows, kColumns)}));
  bench.time("rms_norm", type, shape, {.bytes = 2 * tensor},
             [&] { return rms_norm_cuda(kType, a.data(), vector.data(), y.data(), rows.data(), kRows, kColumns, 1e-5f, nullptr); });
  bench.time("rms_norm_grad", type, shape, {.bytes = 3 * tensor}, [&] {
    return rms_norm_grad_cuda(kType, a.data(), b.data(), vector.data(), rows.data(), y.data(), z.data(), kRows, kColumns, workspace.data(), nullptr);
  });
  bench.time("swi_glu", type, shape, {.bytes = 3 * tensor}, [&] { return swi_glu_cuda(kType, a.data(), b.data(), y.data(), kCount, nullptr); });
  bench.time("swi_glu_grad", type, shape, {.bytes = 5 * tensor},
             [&] { return swi_glu_grad_cuda(kType, a.data(), b.data(), c.data(), y.data(), z.data(), kCount, nullptr); });
  const RotarySizes sizes{.batch = kBatch, .heads = kHeads, .tokens = kTokens, .dim = kDim, .positions = kTokens};
  bench.time("rotary_embedding", type, shape_of({kBatch, kHeads, kTokens, kDim}), {.bytes = 2 * tensor},
             [&] { return rotary_embedding_cuda(kType, a.data(), angles.data(), angles.data(), nullptr, y.data(), sizes, false, nullptr); });
  std::vector<int64_t> classes;
  for (int64_t i = 0; i < kRows; ++i) classes.push_back(i * 37 % kColumns);
  const Array<int64_t> labels(classes);
  bench.time("cross_entropy", type, shape, {.bytes = tensor},
             [&] { return cross_entropy_cuda(kType, a.data(), labels.data(), scalar.data(), rows.data(), kRows, kColumns, -100, workspace.data(), nullptr); });
  bench.time("cross_entropy_grad", type, shape, {.bytes = 2 * tensor}, [&] {
    return cross_entropy_grad_cuda(kType, scalar.data(), a.data(), labels.data(), rows.data(), y.data(), kRows, kColumns, -100, workspace.data(), nullptr);
  });
  const Array<float> table(kColumns * kColumns);
  bench.time("embedding_grad", type, shape + " into " + std::to_string(kColumns), {.bytes = tensor + 4.0 * kColumns * kColumns}, [&] {
    return embedding_grad_cuda(kType, DType::kFloat, a.data(), labels.data(), table.data(), kRows, kColumns, kColumns, workspace.data(), nullptr);
  });
  // Once for the largest magnitude, once for the codes.
  for (const char* format : {"e4m3", "e5m2", "e3m2", "int8"}) {
    bench.time(std::string("quantize ") + format, type, shape, {.bytes = 2 * tensor + static_cast<double>(kCount)}, [&, format] {
      return quantize_cuda(format, kType, a.data(), codes.data(), nullptr, scalar.data(), kRows, kColumns, workspace.data(), nullptr);
    });
    bench.time(std::string("quantize both ") + format, type, shape, {.bytes = 2 * tensor + 2.0 * static_cast<double>(kCount)}, [&, format] {
      return quantize_cuda(format, kType, a.data(), codes.data(), turned.data(), scalar.data(), kRows, kColumns, workspace.data(), nullptr);
    });
  }
  time_rotations(bench, a, y);
}

template void time_halo_operators<BFloat16>(Bench&);
template void time_halo_operators<float>(Bench&);

}  // namespace halo::cuda::bench
