#include <cmath>

#include "check/check.h"
#include "common/dtype.h"
#include "common/hadamard_matrix.h"
#include "ops/hadamard_transform/hadamard_transform.h"

namespace halo::check::hadamard_transform {

namespace {

HadamardBlock block_of(int64_t size) {
  const HadamardOrder found = hadamard_order(size);
  return {.size = size, .order = found.order, .log2 = found.log2};
}

/// H_n by its definition, row by row.
std::vector<double> dense(const HadamardBlock& block) {
  const std::vector<float> signs = hadamard_signs(block.order);
  const int64_t inner = block.size / block.order;
  std::vector<double> matrix;
  for (int64_t i = 0; i < block.size; ++i) {
    for (int64_t j = 0; j < block.size; ++j) {
      const int sign = __builtin_popcountll(static_cast<uint64_t>((i % inner) & (j % inner))) % 2 == 0 ? 1 : -1;
      matrix.push_back(sign * signs[static_cast<size_t>((i / inner) * block.order + j / inner)] / std::sqrt(static_cast<double>(block.size)));
    }
  }
  return matrix;
}

template <class T>
void check_rotation(const std::vector<int64_t>& sizes, int64_t others, int axis, bool inverse, double rounding) {
  std::vector<HadamardBlock> blocks;
  std::vector<std::vector<double>> matrices;
  int64_t n = 0;
  for (const int64_t size : sizes) {
    blocks.push_back(block_of(size));
    matrices.push_back(dense(blocks.back()));
    n += size;
  }
  const int64_t rows = axis == 1 ? others : n, columns = axis == 1 ? n : others;
  const auto values = normal(rows * columns, static_cast<uint32_t>(n));
  std::vector<T> x(values.size());
  for (size_t i = 0; i < x.size(); ++i) x[i] = from_float<T>(values[i]);
  Guarded<T> y(rows * columns);
  hadamard_transform_cpu(x.data(), y.data(), rows, columns, axis, blocks, inverse, ThreadedExecutor());
  expect(y.intact(), "wrote outside");
  const int64_t step = axis == 1 ? 1 : columns, stride = axis == 1 ? columns : 1;
  for (int64_t v = 0; v < others; ++v) {
    int64_t start = 0;
    for (size_t b = 0; b < blocks.size(); ++b) {
      const HadamardBlock& block = blocks[b];
      for (int64_t i = 0; i < block.size; ++i) {
        double sum = 0, norm = 0;
        for (int64_t j = 0; j < block.size; ++j) {
          const double xj = to_float(x[static_cast<size_t>((start + j) * step + v * stride)]);
          sum += xj * matrices[b][static_cast<size_t>(inverse ? i * block.size + j : j * block.size + i)];
          norm += xj * xj;
        }
        const double tolerance = 1e-6 * std::sqrt(norm) + rounding * std::fabs(sum);
        expect_near(to_float(y[(start + i) * step + v * stride]), sum, tolerance, "size " + std::to_string(block.size) + " axis " + std::to_string(axis));
      }
      start += block.size;
    }
  }
}

}  // namespace

HALO_CHECK(rotations_multiply_by_the_dense_matrix) {
  for (const std::vector<int64_t>& sizes : {std::vector<int64_t>{1},
                                            {2},
                                            {4},
                                            {12},
                                            {16},
                                            {20},
                                            {28},
                                            {32},
                                            {40},
                                            {52},
                                            {64},
                                            {68},
                                            {76},
                                            {96},
                                            {100},
                                            {128},
                                            {156},
                                            {172},
                                            {256},
                                            {448},
                                            {704},
                                            {1024},
                                            {16, 2, 1},
                                            {64, 64, 8},
                                            {172, 44}}) {
    for (const int64_t others : {1, 7, 16, 37}) {
      for (const bool inverse : {false, true}) {
        for (const int axis : {0, 1}) {
          check_rotation<float>(sizes, others, axis, inverse, 0);
        }
      }
    }
  }
  for (const int axis : {0, 1}) {
    check_rotation<BFloat16>({704}, 19, axis, false, 1.0 / 256);
    check_rotation<Float16>({172, 20}, 19, axis, true, 1.0 / 2048);
  }
}

HALO_CHECK(sign_rules_give_the_matrices) {
  for (int64_t order = 1; order <= 1024; ++order) {
    if (hadamard_order(order).order != order) continue;
    const auto signs = hadamard_signs(order);
    const SignRule rule = hadamard_sign_rule(order);
    expect(rule.size() == order, "size of order " + std::to_string(order));
    bool same = true;
    for (int64_t i = 0; i < order; ++i) {
      for (int64_t j = 0; j < order; ++j)
        same = same && rule.is_minus(static_cast<int>(i), static_cast<int>(j)) == (signs[static_cast<size_t>(i * order + j)] < 0);
    }
    expect(same, "signs of order " + std::to_string(order));
  }
}

HALO_CHECK(every_hadamard_matrix_is_orthogonal) {
  for (int64_t n = 1; n <= 1024; ++n) {
    const HadamardOrder found = hadamard_order(n);
    if (found.log2 != 0 || found.order == 0) continue;
    const std::string what = "order " + std::to_string(n);
    const auto signs = hadamard_signs(n);
    expect(std::all_of(signs.begin(), signs.end(), [](float sign) { return sign == 1 || sign == -1; }), what);
    // A row as bits, 1 for minus: two rows differ in as many bits as their product has terms of -1.
    const size_t words = static_cast<size_t>(n + 63) / 64;
    std::vector<uint64_t> bits(static_cast<size_t>(n) * words);
    for (size_t at = 0; at < signs.size(); ++at) {
      const size_t row = at / static_cast<size_t>(n), column = at % static_cast<size_t>(n);
      if (signs[at] < 0) bits[row * words + column / 64] |= uint64_t{1} << (column % 64);
    }
    bool orthogonal = true;
    for (size_t i = 0; i < static_cast<size_t>(n); ++i) {
      for (size_t j = i; j < static_cast<size_t>(n); ++j) {
        int64_t dot = n;
        for (size_t word = 0; word < words; ++word) dot -= 2 * __builtin_popcountll(bits[i * words + word] ^ bits[j * words + word]);
        orthogonal = orthogonal && dot == (i == j ? n : 0);
      }
    }
    expect(orthogonal, what);
  }
}

}  // namespace halo::check::hadamard_transform
