#include "ops/scaled_mat_mul/scaled_mat_mul.h"
#include "provider/benchmarks/bench.h"

namespace halo::cuda::bench {

/// The three products of a linear layer at each size: F = X W^T, E = dY W, G = dY^T X.
HALO_BENCH(scaled_mat_mul) {
  struct Size {
    int64_t m, n, k;
  };
#ifdef HALO_CUDA_EMULATED
  const std::vector<Size> all = {{64, 32, 48}};
#else
  const std::vector<Size> all = {{8192, 4096, 4096}, {8192, 14336, 4096}, {8192, 4096, 14336}, {2048, 704, 256}};
#endif
  for (const Size& s : all) {
    Array<uint8_t> a(s.m * s.k), b(s.k * s.n);
    const Array<float> y(s.m * s.n), scale(std::vector<float>{1.0f});
    const double operations = 2.0 * static_cast<double>(s.m) * static_cast<double>(s.n) * static_cast<double>(s.k);
    for (const bool is_int8 : {false, true}) {
      const DType type = is_int8 ? DType::kInt8 : DType::kFloat8E4M3;
      for (Array<uint8_t>* codes : {&a, &b}) is_int8 ? fill_codes<Int8>(*codes) : fill_codes<E4M3>(*codes);
      for (const auto& [trans_a, trans_b] : {std::pair{false, true}, {false, false}, {true, false}}) {
        const QuantizedMatrix left{a.data(), scale.data(), type}, right{b.data(), scale.data(), type};
        const int64_t bytes = scaled_mat_mul_workspace_cuda(left, right, DType::kFloat, trans_a, trans_b, s.m, s.n, s.k);
        const Array<uint8_t> workspace(bytes);
        bench.time(std::string("scaled_mat_mul") + (trans_a ? " A^T" : " A") + (trans_b ? " B^T" : " B"), is_int8 ? "int8" : "e4m3", shape_of({s.m, s.n, s.k}),
                   {.operations = operations, .ceiling = is_int8 ? bench.ceilings.int8 : bench.ceilings.float8}, [&, ta = trans_a, tb = trans_b] {
                     return scaled_mat_mul_cuda(bench.products(), left, right, DType::kFloat, y.data(), ta, tb, s.m, s.n, s.k, workspace.data(), bytes,
                                                nullptr);
                   });
      }
    }
  }
}

}  // namespace halo::cuda::bench
