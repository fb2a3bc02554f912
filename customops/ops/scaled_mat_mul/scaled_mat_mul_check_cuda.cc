#include "ops/scaled_mat_mul/scaled_mat_mul.h"

#include "check/cuda/device.h"
#include "common/codes.h"
#include "provider/products/lt_products.h"

namespace halo::check::scaled_mat_mul {

namespace {

template <class A, class B, class R>
void check_scaled(int64_t m, int64_t n, int64_t k, bool trans_a, bool trans_b, bool adds = false) {
  static cuda::LtProducts products;
  const auto make = [](int64_t count, uint32_t seed, auto format) {
    std::vector<uint8_t> codes;
    for (const float v : normal(count, seed)) codes.push_back(decltype(format)::encode(v * decltype(format)::kQMax / 6));
    return codes;
  };
  const auto a = make(m * k, 91, A()), b = make(k * n, 92, B());
  const float scale_a = 0.37f, scale_b = 0.013f;
  std::vector<float> y(static_cast<size_t>(m * n)), decoded(static_cast<size_t>(m * k + k * n));
  const std::string what = std::string("scaled mat mul ") + A::kName + " " + B::kName + " " + std::to_string(m) + " x " + std::to_string(n) + " x " +
                           std::to_string(k) + (trans_a ? " A^T" : "") + (trans_b ? " B^T" : "") + " to " + name_of_type<R>() + (adds ? " added to" : "");
  expect_success(scaled_mat_mul_cpu({a.data(), &scale_a, A::kType}, {b.data(), &scale_b, B::kType}, y.data(), trans_a, trans_b, m, n, k, decoded.data(),
                                    PlainProducts(), SerialExecutor()),
                 what + " on the CPU");
  const auto addend = numbers<R>(m * n, 93);
  if (adds) add_cpu(y.data(), addend.data(), m * n, SerialExecutor());
  const OnDevice<R> addend_device(addend);
  const OnDevice<uint8_t> a_device(a), b_device(b);
  const OnDevice<float> scale_a_device(std::vector<float>{scale_a}), scale_b_device(std::vector<float>{scale_b});
  const QuantizedMatrix left{a_device.data(), scale_a_device.data(), A::kType}, right{b_device.data(), scale_b_device.data(), B::kType};
  const int64_t bytes = scaled_mat_mul_workspace_cuda(left, right, type_of<R>(), trans_a, trans_b, m, n, k);
  const OnDevice<uint8_t> workspace(bytes);
  const auto found = run_twice<R>(what, m * n, [&](R* out) {
    return scaled_mat_mul_cuda(products, left, right, type_of<R>(), out, trans_a, trans_b, m, n, k, workspace.data(), bytes, nullptr,
                               adds ? addend_device.data() : nullptr);
  });
  workspace.download(what + " workspace");
  // float32 adds k products with relative errors of their sum's size. Matrix units of Hopper cut the products of a float8 sum at 13 bits below the largest
  // of 32 neighbours, which are at most qmax^2. [DeepSeek-V3, 3.3.2]
  const double largest = static_cast<double>(A::kQMax) * static_cast<double>(B::kQMax) * static_cast<double>(scale_a * scale_b);
  const double rough = scaled_mat_mul_path(A::kType, B::kType) == ScaledMatMulPath::kFloat8 ? 0x1p-13 * largest * std::ceil(static_cast<double>(k) / 32)
                                                                                            : 1e-5 / 36 * largest * std::sqrt(static_cast<double>(k));
  std::vector<double> expected;
  for (const float v : y) expected.push_back(real(typed<R>(static_cast<double>(v))));  // a product may be more than float16 holds
  expect_all_near<R>(
      found, expected, [rough](double v) { return 2 * within<R>(16)(v) + rough; }, what);
}

template <class A, class B>
void check_scaled_sizes() {
  for (const bool trans_a : {false, true}) {
    for (const bool trans_b : {false, true}) {
      check_scaled<A, B, float>(72, 64, 64, trans_a, trans_b);
      check_scaled<A, B, float>(48, 32, 80, trans_a, trans_b);
      check_scaled<A, B, float>(33, 17, 5, trans_a, trans_b);
      if (!is_reduced()) check_scaled<A, B, float>(256, 172, 516, trans_a, trans_b);
    }
    check_scaled<A, B, BFloat16>(48, 32, 80, trans_a, true);
    check_scaled<A, B, BFloat16>(33, 17, 5, trans_a, true);
    check_scaled<A, B, float>(48, 32, 80, trans_a, true, true);
    check_scaled<A, B, BFloat16>(48, 32, 80, trans_a, true, true);
    check_scaled<A, B, BFloat16>(33, 17, 5, trans_a, true, true);
    if constexpr (!std::is_same_v<A, E5M2> && !std::is_same_v<B, E5M2>) check_scaled<A, B, Float16>(48, 32, 80, trans_a, true);  // others overflow
  }
  check_scaled<A, B, float>(16, 16, 0, false, true);
  check_scaled<A, B, BFloat16>(16, 16, 0, false, true);
  check_scaled<A, B, BFloat16>(16, 16, 0, false, true, true);
}

}  // namespace

HALO_CHECK(cuda_scaled_mat_mul_as_the_cpu, Memory::kShared) {
  check_scaled_sizes<E4M3, E4M3>();
  check_scaled_sizes<E4M3, E5M2>();
  check_scaled_sizes<E5M2, E4M3>();
  check_scaled_sizes<E5M2, E5M2>();
  check_scaled_sizes<Int8, Int8>();
  check_scaled_sizes<E3M2, E3M2>();
  check_scaled_sizes<Int8, E4M3>();
}

}  // namespace halo::check::scaled_mat_mul
