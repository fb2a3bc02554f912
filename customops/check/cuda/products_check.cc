// Products of cuBLASLt against plain loops.
#include <algorithm>

#include "check/cuda/device.h"
#include "provider/products/lt_products.h"
#include "provider/products/mat_mul.h"

namespace halo::check {

namespace {

cuda::LtProducts& products() {
  static cuda::LtProducts instance;
  return instance;
}

struct Problem {
  std::vector<int64_t> a, b, y;
  bool trans_a, trans_b;
};

/// The same element by plain loops, and the sum of magnitudes, which bounds what rounding does.
template <class T>
void check_mat_mul(const Problem& problem) {
  const cuda::Dims a_dims = dims_of(problem.a), b_dims = dims_of(problem.b), y_dims = dims_of(problem.y);
  std::vector<T> a, b;
  for (const float v : normal(a_dims.count(), 81)) a.push_back(typed<T>(static_cast<double>(v)));
  for (const float v : normal(b_dims.count(), 82)) b.push_back(typed<T>(static_cast<double>(v)));
  const std::string what = "mat mul " + name_of_type<T>() + " to " + std::to_string(y_dims.count());
  cuda::MatMulPlan plan;
  expect_success(cuda::plan_mat_mul(type_of<T>(), a_dims, b_dims, problem.trans_a, problem.trans_b, 0.5f, &plan), what);
  expect(plan.y_dims.rank == y_dims.rank && std::equal(y_dims.sizes, y_dims.sizes + y_dims.rank, plan.y_dims.sizes), what + ": sizes of the result");
  const int a_rank = std::max(2, a_dims.rank), b_rank = std::max(2, b_dims.rank);
  const int64_t m = a_dims.rank == 1 ? 1 : a_dims.sizes[a_rank - (problem.trans_a ? 1 : 2)],
                n = b_dims.rank == 1 ? 1 : b_dims.sizes[b_rank - (problem.trans_b ? 2 : 1)];
  const int64_t k = a_dims.rank == 1 ? a_dims.sizes[0] : a_dims.sizes[a_rank - (problem.trans_a ? 2 : 1)];
  cuda::Dims a_lead = a_dims, b_lead = b_dims, y_lead = y_dims;
  a_lead.rank = a_rank - 2;
  b_lead.rank = b_rank - 2;
  y_lead.rank = std::max(a_lead.rank, b_lead.rank);
  std::vector<double> expected, size;
  for (int64_t batch = 0; batch < y_lead.count(); ++batch) {
    const int64_t a_at = broadcast_index(batch, a_lead, y_lead) * m * k, b_at = broadcast_index(batch, b_lead, y_lead) * k * n;
    for (int64_t i = 0; i < m; ++i) {
      for (int64_t j = 0; j < n; ++j) {
        double sum = 0, magnitude = 0;
        for (int64_t l = 0; l < k; ++l) {
          const double product = real(a[static_cast<size_t>(a_at + (problem.trans_a ? l * m + i : i * k + l))]) *
                                 real(b[static_cast<size_t>(b_at + (problem.trans_b ? j * k + l : l * n + j))]);
          sum += product;
          magnitude += std::fabs(product);
        }
        expected.push_back(0.5 * sum);
        size.push_back(magnitude);
      }
    }
  }
  const OnDevice<T> a_device(a), b_device(b);
  const OnDevice<uint8_t> workspace(cuda::LtProducts::kWorkspaceBytes);
  const auto found = run_twice<T>(what, y_dims.count(), [&](T* y) {
    return cuda::mat_mul(products(), plan, a_device.data(), b_device.data(), y, workspace.data(), workspace.size(), nullptr);
  });
  int reported = 0;
  for (size_t i = 0; i < found.size() && reported < 3; ++i) {
    const double unit = std::is_same_v<T, double> ? 0x1p-50 : 0x1p-22;
    if (std::fabs(real(found[i]) - expected[i]) <= unit * size[i] + within<T>(2)(expected[i])) continue;
    ++reported;
    expect(false, what + " element " + std::to_string(i) + ": expected " + std::to_string(expected[i]) + ", found " + std::to_string(real(found[i])));
  }
}

template <class T>
void check_mat_muls() {
  for (const Problem& problem : {Problem{{72, 64}, {64, 172}, {72, 172}, false, false},
                                 {{64, 72}, {172, 64}, {72, 172}, true, true},
                                 {{3, 24, 64}, {64, 64}, {3, 24, 64}, false, false},
                                 {{3, 4, 24, 16}, {3, 4, 16, 24}, {3, 4, 24, 24}, false, false},
                                 {{1, 8, 1}, {1, 1, 24}, {1, 8, 24}, false, false},
                                 {{2, 1, 5, 7}, {3, 7, 9}, {2, 3, 5, 9}, false, false},
                                 {{2, 3, 5, 7}, {2, 1, 7, 9}, {2, 3, 5, 9}, false, false},
                                 {{7}, {7, 9}, {9}, false, false},
                                 {{5, 7}, {7}, {5}, false, false},
                                 {{4, 5, 7}, {4, 9, 7}, {4, 5, 9}, false, true},
                                 {{33, 17}, {17, 3}, {33, 3}, false, false},
                                 {{1, 1}, {1, 1}, {1, 1}, false, false}}) {
    check_mat_mul<T>(problem);
  }
}

}  // namespace

HALO_CHECK(cuda_products_open) {
  expect_success(products().open(), "cuBLASLt");
  std::printf("     cuBLASLt %s from %s\n", products().version().c_str(), products().path().c_str());
}

HALO_CHECK(cuda_mat_mul_float) { check_mat_muls<float>(); }
HALO_CHECK(cuda_mat_mul_bfloat16) { check_mat_muls<BFloat16>(); }
HALO_CHECK(cuda_mat_mul_float16) { check_mat_muls<Float16>(); }
HALO_CHECK(cuda_mat_mul_double) { check_mat_muls<double>(); }

}  // namespace halo::check
