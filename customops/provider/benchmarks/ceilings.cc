// What this GPU can do at best: a copy, and products of cuBLASLt at a size that fills it.
#include "provider/benchmarks/bench.h"
#include "provider/errors.h"

namespace halo::cuda::bench {

namespace {

/// Operations a second of A B^T of n x n x n, whose result has the type that costs least to write.
double rate(Bench& bench, const std::string& name, const Product& p, const void* a, const void* b, void* y, const float* scale, double ceiling) {
  const Array<uint8_t> workspace(LtProducts::kWorkspaceBytes);
  const double operations = 2.0 * static_cast<double>(p.m) * static_cast<double>(p.n) * static_cast<double>(p.k);
  const double seconds = bench.time(name, name_of(p.type_a), shape_of({p.m, p.n, p.k}), {.operations = operations, .ceiling = ceiling},
                                    [&] { return bench.products().multiply(p, a, b, y, scale, scale, workspace.data(), workspace.size(), nullptr); });
  return seconds > 0 ? operations / seconds : 0;
}

}  // namespace

void measure_ceilings(Bench& bench) {
  const int64_t n = kProduct;
  {
    Array<uint8_t> from(kCopyBytes), to(kCopyBytes);
    fill_codes<Int8>(from);
    const double bytes = 2.0 * static_cast<double>(kCopyBytes);
    const double seconds = bench.time("ceiling: copy", "bytes", std::to_string(kCopyBytes), {.bytes = bytes}, [&] {
      return HALO_CUDA_STATUS(cudaMemcpyAsync(to.data(), from.data(), static_cast<size_t>(kCopyBytes), cudaMemcpyDeviceToDevice, nullptr));
    });
    bench.ceilings.copy = seconds > 0 ? bytes / seconds : 0;
  }
  const Array<float> y(n * n), scale(std::vector<float>{1.0f});
  {
    Array<float> a(kFloatProduct * kFloatProduct), b(kFloatProduct * kFloatProduct);
    fill_normal(a);
    fill_normal(b);
    bench.ceilings.single = rate(bench, "ceiling: product", {.trans_b = true, .m = kFloatProduct, .n = kFloatProduct, .k = kFloatProduct}, a.data(), b.data(),
                                 y.data(), nullptr, 0);
  }
  {
    Array<BFloat16> a(n * n), b(n * n);
    fill_normal(a);
    fill_normal(b);
    Product p{.type_a = DType::kBFloat16, .type_b = DType::kBFloat16, .type_y = DType::kBFloat16, .trans_b = true, .m = n, .n = n, .k = n};
    bench.ceilings.bfloat16 = rate(bench, "ceiling: product", p, a.data(), b.data(), y.data(), nullptr, 0);
    p.type_y = DType::kFloat;
    rate(bench, "product to float", p, a.data(), b.data(), y.data(), nullptr, bench.ceilings.bfloat16);
  }
  Array<uint8_t> a(n * n), b(n * n);
  fill_codes<E4M3>(a);
  fill_codes<E4M3>(b);
  Product p{.type_a = DType::kFloat8E4M3, .type_b = DType::kFloat8E4M3, .trans_b = true, .m = n, .n = n, .k = n};
  bench.ceilings.float8 = rate(bench, "ceiling: product to float", p, a.data(), b.data(), y.data(), scale.data(), 0);
  p.type_a = DType::kFloat8E5M2;
  rate(bench, "product with e4m3 to float", p, a.data(), b.data(), y.data(), scale.data(), bench.ceilings.float8);
  fill_codes<Int8>(a);
  fill_codes<Int8>(b);
  bench.ceilings.int8 = rate(bench, "ceiling: product to int32",
                             {.type_a = DType::kInt8, .type_b = DType::kInt8, .type_y = DType::kInt32, .trans_b = true, .m = n, .n = n, .k = n}, a.data(),
                             b.data(), y.data(), nullptr, 0);
}

}  // namespace halo::cuda::bench
