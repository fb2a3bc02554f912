#include "ops/packed_products/packed_products.h"
#include "provider/benchmarks/bench.h"

namespace halo::cuda::bench {

namespace {

/// A step of decoding: one row by the weights of a layer of a 1B shape, int4 in blocks of 32 with zeros, and its head in 8 bits.
template <class T>
void time_products(Bench& bench, const std::string& kernel, std::initializer_list<int64_t> sizes, int64_t k, int64_t bits, bool is_gated) {
#ifdef HALO_CUDA_EMULATED
  constexpr int64_t kShare = 32;  // of the sizes, to see that it runs
#else
  constexpr int64_t kShare = 1;
#endif
  PackedFactors factors{.all = {}, .count = 0, .k = k / kShare, .block = 32, .bits = bits, .is_gated = is_gated};
  int64_t all = 0;
  for (const int64_t n : sizes) all += n / kShare;
  const Array<uint8_t> codes(all * factors.blocks() * factors.block * bits / 8), zeros(all * factors.zero_bytes());
  Array<T> scales(all * factors.blocks()), a(factors.k);
  const Array<T> y(all);
  fill_normal(scales);
  fill_normal(a);
  int64_t first = 0;
  std::string shape;
  for (const int64_t size : sizes) {
    const int64_t n = size / kShare;
    factors.all[static_cast<size_t>(factors.count++)] = {.codes = codes.data() + first * factors.blocks() * factors.block * bits / 8,
                                                         .scales = scales.data() + first * factors.blocks(),
                                                         .zeros = bits == 4 ? zeros.data() + first * factors.zero_bytes() : nullptr,
                                                         .bias = nullptr,
                                                         .n = n};
    first += n;
    shape += (shape.empty() ? "" : " + ") + std::to_string(n);
  }
  const double bytes = static_cast<double>(codes.size() + (bits == 4 ? zeros.size() : 0)) + static_cast<double>(scales.size() + a.size()) * sizeof(T);
  bench.time(kernel, name_of(dtype_of<T>()), shape + " x " + std::to_string(factors.k), {.bytes = bytes},
             [&] { return packed_products_cuda(bench.products(), dtype_of<T>(), a.data(), 1, factors, y.data(), nullptr, 0, nullptr); });
}

template <class T>
void time_layer(Bench& bench) {
  time_products<T>(bench, "packed_product", {2048}, 2048, 4, false);
  time_products<T>(bench, "packed_product", {8192}, 2048, 4, false);
  time_products<T>(bench, "packed_product", {2048}, 8192, 4, false);
  time_products<T>(bench, "packed_product of 8 bits", {128256}, 2048, 8, false);
  time_products<T>(bench, "packed_products", {2048, 512, 512}, 2048, 4, false);
  time_products<T>(bench, "packed_products gated", {8192, 8192}, 2048, 4, true);
}

}  // namespace

HALO_BENCH(packed_products) {
  time_layer<float>(bench);
  time_layer<Float16>(bench);
}

}  // namespace halo::cuda::bench
