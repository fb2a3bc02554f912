#include "ops/hadamard_quantize/hadamard_quantize_kernels.h"
#include "ops/hadamard_transform/hadamard_transform.h"
#include "ops/quantize/quantize.h"
#include "provider/benchmarks/bench.h"

namespace halo::cuda::bench {

/// Codes of rotated rows, by the fused kernels and by the two operators, which write and read a rotated tensor: bytes are those of the former, x twice and the
/// codes.
HALO_BENCH(hadamard_quantize) {
#ifdef HALO_CUDA_EMULATED
  const std::vector<std::pair<int64_t, int64_t>> shapes = {{32, 4096}};
#else
  const std::vector<std::pair<int64_t, int64_t>> shapes = {{8192, 4096}, {16384, 4096}, {4096, 8192}, {16384, 2048}};
#endif
  for (const auto& [rows, columns] : shapes) {
    const int64_t count = rows * columns;
    Array<BFloat16> x(count);
    fill_normal(x);
    const Array<BFloat16> rotated(count);
    const Array<uint8_t> codes(count), turned(count), workspace(hadamard_quantize_rows_workspace());
    const Array<float> absmax(1), scale(1);
    for (const int64_t size : {256, 1024, 2048, 4096}) {
      if (columns % size != 0) continue;
      const std::vector<int64_t> blocks(static_cast<size_t>(columns / size), size);
      const auto blocks_count = static_cast<int64_t>(blocks.size());
      for (const bool is_both : {true, false}) {
        uint8_t* const other = is_both ? turned.data() : nullptr;
        const std::string name = std::string(is_both ? "both " : "") + "e4m3 of " + std::to_string(size);
        const Work work{.bytes = (is_both ? 6.0 : 5.0) * static_cast<double>(count)};
        bench.time("hadamard_quantize " + name, name_of(DType::kBFloat16), shape_of({rows, columns}), work, [&] {
          return hadamard_quantize_rows_cuda("e4m3", DType::kBFloat16, x.data(), codes.data(), other, scale.data(), rows, columns, blocks.data(), blocks_count,
                                             workspace.data(), nullptr);
        });
        bench.time("hadamard_transform, quantize " + name, name_of(DType::kBFloat16), shape_of({rows, columns}), work, [&] {
          HALO_RETURN_IF_ERROR(hadamard_transform_cuda(DType::kBFloat16, x.data(), rotated.data(), absmax.data(), rows, columns, 1, blocks.data(), blocks_count,
                                                       false, nullptr));
          return quantize_cuda("e4m3", DType::kBFloat16, rotated.data(), absmax.data(), codes.data(), other, scale.data(), rows, columns, nullptr, nullptr);
        });
      }
    }
  }
}

}  // namespace halo::cuda::bench
