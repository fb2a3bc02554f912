// Products by plain loops in place of cuBLASLt.
#include <algorithm>
#include <vector>

#include "plain_numbers.h"
#include "provider/errors.h"
#include "provider/products/lt_products.h"

namespace halo::cuda {

namespace {

using emulator::element;
using emulator::store;

/// Numbers from `start` on as a matrix by rows, which lies by columns where it is `turned`.
std::vector<double> matrix(DType type, const void* x, int64_t start, int64_t rows, int64_t columns, bool turned) {
  std::vector<double> numbers(static_cast<size_t>(rows * columns));
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t j = 0; j < columns; ++j) {
      numbers[static_cast<size_t>(i * columns + j)] = element(type, x, start + (turned ? j * rows + i : i * columns + j));
    }
  }
  return numbers;
}

/// Each sum begins at its first product and ends at its last; those of a row go side by side.
void compute(const Product& p, const void* a, const void* b, void* y, const float* scale_a, const float* scale_b, const void* c) {
  const double scale = (scale_a != nullptr ? static_cast<double>(*scale_a) : 1.0) * (scale_b != nullptr ? static_cast<double>(*scale_b) : 1.0);
  std::vector<double> right, sums(static_cast<size_t>(p.n));
  for (int64_t batch = 0; batch < p.batch; ++batch) {
    const std::vector<double> left = matrix(p.type_a, a, batch * p.stride_a, p.m, p.k, p.trans_a);
    if (batch == 0 || p.stride_b != 0) right = matrix(p.type_b, b, batch * p.stride_b, p.k, p.n, p.trans_b);
    for (int64_t i = 0; i < p.m; ++i) {
      std::fill(sums.begin(), sums.end(), 0.0);
      for (int64_t l = 0; l < p.k; ++l) {
        const double factor = left[static_cast<size_t>(i * p.k + l)];
        const double* row = right.data() + l * p.n;
        for (int64_t j = 0; j < p.n; ++j) sums[static_cast<size_t>(j)] += factor * row[j];
      }
      for (int64_t j = 0; j < p.n; ++j) {
        const int64_t at = batch * p.stride_y + i * p.n + j;
        const double old = p.beta != 0 ? static_cast<double>(p.beta) * element(p.type_y, c, at) : 0.0;
        store(p.type_y, y, at, static_cast<double>(p.alpha) * sums[static_cast<size_t>(j)] * scale + old);
      }
    }
  }
}

}  // namespace

struct LtProducts::State {};
LtProducts::LtProducts() = default;
LtProducts::~LtProducts() = default;
Status LtProducts::open() { return {}; }
std::string LtProducts::path() const { return "plain loops"; }
std::string LtProducts::version() const { return "0"; }

Status LtProducts::multiply(const Product& p, const void* a, const void* b, void* y, const float* scale_a, const float* scale_b, void*, int64_t, cudaStream_t,
                            const void* c) {
  if (c == nullptr) c = y;
  const bool is_coded = p.type_a == DType::kFloat8E4M3 || p.type_a == DType::kFloat8E5M2 || p.type_a == DType::kInt8;
  HALO_REQUIRE(!is_coded || (!p.trans_a && p.trans_b && p.m % 16 == 0 && p.n % 16 == 0 && p.k % 16 == 0), "sizes that 8-bit units take", p.m, "Pad them.");
  return HALO_CUDA_STATUS(emulator::carry_out([=] { compute(p, a, b, y, scale_a, scale_b, c); }));
}

}  // namespace halo::cuda
