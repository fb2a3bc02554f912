#include <deque>

#include "check/cuda/device.h"
#include "ops/packed_products/packed_products_check.h"
#include "provider/products/lt_products.h"

namespace halo::check::packed_products {

namespace {

using packed_products::Weight;

template <class T>
void check_products(PackedFactors factors, const std::vector<int64_t>& sizes, int64_t rows, bool has_zeros, bool has_bias) {
  static cuda::LtProducts products;
  const std::string what = "packed products " + name_of_type<T>() + " of " + std::to_string(factors.bits) + " bits, " + std::to_string(rows) + " rows";
  std::vector<Weight<T>> weights;
  for (const int64_t n : sizes) weights.emplace_back(n, factors, static_cast<uint32_t>(n));
  for (size_t i = 0; i < weights.size(); ++i) factors.all[i] = weights[i].factor(has_zeros, has_bias);
  const auto a = rounded_to<T>(rows * factors.k, 7);
  std::vector<T> y(static_cast<size_t>(rows * factors.columns()));
  packed_products_cpu(a.data(), rows, factors, y.data(), SerialExecutor());

  std::deque<OnDevice<uint8_t>> codes, zeros;
  std::deque<OnDevice<T>> scales, biases;
  for (const Weight<T>& w : weights) codes.emplace_back(w.codes), zeros.emplace_back(w.zeros), scales.emplace_back(w.scales), biases.emplace_back(w.bias);
  for (size_t i = 0; i < weights.size(); ++i) {
    PackedFactor& f = factors.all[i];
    f.codes = codes[i].data(), f.scales = scales[i].data();
    f.zeros = has_zeros ? zeros[i].data() : nullptr;
    f.bias = has_bias ? biases[i].data() : nullptr;
  }
  const OnDevice<T> a_device(a);
  const OnDevice<uint8_t> workspace(packed_products_workspace_cuda(type_of<T>(), rows, factors));
  const auto found = run_twice<T>(what, rows * factors.columns(), [&](T* out) {
    return packed_products_cuda(products, type_of<T>(), a_device.data(), rows, factors, out, workspace.data(), workspace.size(), nullptr);
  });
  workspace.download(what + " workspace");
  // Of the largest: sums of both are off by their terms, which add up to several times it; weights and products written out are rounded to T besides.
  double largest = 0;
  for (const T v : y) largest = std::max(largest, std::fabs(real(v)));
  expect_all_near<T>(
      found, reals(y), [&](double v) { return 2 * within<T>(8)(v) + largest * (1e-5 + (workspace.size() > 0 ? 8 * (within<T>(0)(1) - 1e-7) : 0)); }, what);
}

}  // namespace

HALO_CHECK(cuda_packed_products_as_the_cpu, Memory::kShared) {
  packed_products::check_factors([](const PackedFactors& factors, const std::vector<int64_t>& sizes, int64_t rows) {
    check_products<float>(factors, sizes, rows, rows % 2 == 0, rows > 1);
    check_products<BFloat16>(factors, sizes, rows, true, false);
    check_products<Float16>(factors, sizes, rows, false, true);
  });
}

HALO_CHECK(limits_of_packed_products_are_named) {
  static cuda::LtProducts products;
  PackedFactors factors{.all = {}, .count = 1, .k = 40, .block = 16, .bits = 4};  // blocks of 8 bytes, which are written out
  factors.all[0].n = 8;
  const Status status = packed_products_cuda(products, DType::kFloat, nullptr, 1, factors, nullptr, nullptr, 0, nullptr);
  expect(!status.ok() && status.message().find("bytes of workspace, found 0") != std::string::npos, "no workspace: " + status.message());
}

}  // namespace halo::check::packed_products
