#include "ops/hadamard_transform/hadamard_transform.h"
#include "provider/benchmarks/bench.h"

namespace halo::cuda::bench {

/// Along each axis, in every size whose vectors the tensor holds: powers of two, and those of the feed-forward layers of llama-tiny, Qwen2.5-1.5B, LLaMA 2 and
/// LLaMA 3; without and with the largest magnitude.
HALO_BENCH(hadamard_transform) {
  for_types([&]<class T>() {
    Array<T> x(kCount);
    const Array<T> y(kCount);
    const Array<float> absmax(1);
    fill_normal(x);
    for (const int64_t size : {256, 704, 1024, 2048, 4096, 8192, 8960, 11008, 14336}) {
      for (const int axis : {1, 0}) {
        const int64_t others = kCount / size / 8 * 8, rows = axis == 1 ? others : size, columns = axis == 1 ? size : others;
        if (others == 0) continue;
        for (float* const largest : {static_cast<float*>(nullptr), absmax.data()}) {
          bench.time("hadamard_transform " + std::to_string(size) + " axis " + std::to_string(axis) + (largest == nullptr ? "" : " with maximum"),
                     name_of(dtype_of<T>()), shape_of({rows, columns}), {.bytes = 2.0 * static_cast<double>(rows * columns) * sizeof(T)},
                     [&, size] { return hadamard_transform_cuda(dtype_of<T>(), x.data(), y.data(), largest, rows, columns, axis, &size, 1, false, nullptr); });
        }
      }
    }
  });
}

}  // namespace halo::cuda::bench
