#include "ops/hadamard_transform/hadamard_transform.h"
#include "provider/benchmarks/bench.h"

namespace halo::cuda::bench {

/// Along each axis, in every size whose vectors the tensor holds: powers of two, the width of Qwen2.5-1.5B, and those of the feed-forward layers of llama-tiny,
/// Qwen2.5-1.5B, LLaMA 2 and LLaMA 3; without and with the largest magnitude. Then blocks of 1024 along the tokens of a micro-batch, as training graphs have
/// them, by features.
HALO_BENCH(hadamard_transform) {
  for_types([&]<class T>() {
    Array<T> x(kCount);
    const Array<T> y(kCount);
    const Array<float> absmax(1);
    fill_normal(x);
    const std::string type = name_of(dtype_of<T>());
    const auto time = [&](const std::string& name, int64_t rows, int64_t columns, int axis, const std::vector<int64_t>& blocks) {
      for (float* const largest : {static_cast<float*>(nullptr), absmax.data()}) {
        bench.time("hadamard_transform " + name + (largest == nullptr ? "" : " with maximum"), type, shape_of({rows, columns}),
                   {.bytes = 2.0 * static_cast<double>(rows * columns) * sizeof(T)}, [&] {
                     return hadamard_transform_cuda(dtype_of<T>(), x.data(), y.data(), largest, rows, columns, axis, blocks.data(),
                                                    static_cast<int64_t>(blocks.size()), false, nullptr);
                   });
      }
    };
    for (const int64_t size : {256, 512, 704, 1024, 1536, 2048, 4096, 8192, 8960, 11008, 14336}) {
      for (const int axis : {1, 0}) {
        const int64_t others = kCount / size / 8 * 8;
        if (others > 0) time(std::to_string(size) + " axis " + std::to_string(axis), axis == 1 ? others : size, axis == 1 ? size : others, axis, {size});
      }
    }
    for (const int64_t features : {1536, 4096, 8960, 11008, 14336}) {
      const int64_t blocks = kCount / features / 1024;
      if (blocks > 0) time("tokens by 1024", 1024 * blocks, features, 0, std::vector<int64_t>(static_cast<size_t>(blocks), 1024));
    }
  });
}

}  // namespace halo::cuda::bench
