// What a step of decoding runs: attention of one token over its cache, and products of few rows with packed weights, against plain loops.
#include <cstring>
#include <memory>

#include "check/cuda/device.h"
#include "provider/kernels/cached_attention.h"
#include "provider/kernels/packed_product.h"
#include "provider/kernels/row_product.h"

namespace halo::check {

namespace {

struct Cached {
  cuda::CachedSizes sizes;
  std::vector<int32_t> seqlens;  // tokens before the new one
  int64_t window = 0;
  int64_t turned = 0;
  bool is_interleaved = false, has_positions = false;
};

template <class T>
std::vector<double> plain_softmax(const Cached& c, const std::vector<T>& q, const std::vector<T>& keys, const std::vector<T>& values, double scale) {
  const auto& s = c.sizes;
  std::vector<double> all;
  for (int64_t row = 0; row < s.batch * s.heads; ++row) {
    const int64_t batch = row / s.heads, pair = batch * s.groups + row % s.heads / (s.heads / s.groups), end = c.seqlens[static_cast<size_t>(batch)] + 1;
    const int64_t start = c.window > 0 ? std::max<int64_t>(0, end - c.window) : 0;
    std::vector<double> weights;
    double most = -INFINITY, sum = 0;
    for (int64_t j = start; j < end; ++j) {
      double score = 0;
      for (int64_t d = 0; d < s.dim; ++d) {
        score += real(q[static_cast<size_t>(row * s.dim + d)]) * real(keys[static_cast<size_t>((pair * s.slots + j) * s.dim + d)]);
      }
      weights.push_back(score * scale);
      most = std::max(most, weights.back());
    }
    for (double& w : weights) sum += w = std::exp(w - most);
    for (int64_t d = 0; d < s.dim; ++d) {
      double total = 0;
      for (int64_t j = start; j < end; ++j)
        total += weights[static_cast<size_t>(j - start)] * real(values[static_cast<size_t>((pair * s.slots + j) * s.dim + d)]);
      all.push_back(total / sum);
    }
  }
  return all;
}

template <class T>
void check_attending(const Cached& c) {
  const auto& s = c.sizes;
  const auto q = rounded_to<T>(s.batch * s.heads * s.dim, 61);
  const auto keys = rounded_to<T>(s.batch * s.groups * s.slots * s.dim, 62), values = rounded_to<T>(s.batch * s.groups * s.slots * s.dim, 63);
  const double scale = 1 / std::sqrt(static_cast<double>(s.dim));
  const OnDevice<T> q_device(q), keys_device(keys), values_device(values);
  const OnDevice<int32_t> seqlens(c.seqlens);
  const OnDevice<uint8_t> work(cuda::attend_token_workspace(s));
  const std::string what = "attention of a token " + name_of_type<T>() + " S " + std::to_string(s.slots) + " D " + std::to_string(s.dim);
  const auto found = run_twice<T>(what, s.batch * s.heads * s.dim, [&](T* out) {
    return cuda::attend_token(type_of<T>(), q_device.data(), keys_device.data(), values_device.data(), seqlens.data(), c.window, out, s,
                              static_cast<float>(scale), work.data(), nullptr);
  });
  expect_all_near<T>(
      found, plain_softmax(c, q, keys, values, scale), [](double x) { return within<T>(16)(x) + 2e-6 * (1 + std::fabs(x)); }, what);
}

/// append_token against place_heads, to the bit.
template <class T>
void check_appending(const Cached& c) {
  const auto& s = c.sizes;
  const int64_t width = (s.heads + 2 * s.groups) * s.dim, tables = s.slots + 3, cache = s.batch * s.groups * s.slots * s.dim;
  const auto packed = rounded_to<T>(s.batch * width, 64);
  const auto cos = rounded_to<T>(tables * c.turned / 2, 65), sin = rounded_to<T>(tables * c.turned / 2, 66), old = rounded_to<T>(2 * cache, 67);
  std::vector<int64_t> slots, positions;
  for (const int32_t length : c.seqlens) slots.push_back(length), positions.push_back(length + 2);
  const OnDevice<T> packed_device(packed), cos_device(cos), sin_device(sin);
  const OnDevice<int64_t> slots_device(slots), positions_device(positions);
  const OnDevice<int32_t> seqlens(c.seqlens);
  cuda::Rotation rotation{.cos = cos_device.data(),
                          .sin = sin_device.data(),
                          .turned = c.turned,
                          .rows = tables,
                          .batch_rows = 0,
                          .positions = nullptr,
                          .is_interleaved = c.is_interleaved};
  if (c.has_positions) rotation.positions = positions_device.data();
  const T *keys = packed_device.data() + s.heads * s.dim, *values = keys + s.groups * s.dim;
  const std::string what = "appended token " + name_of_type<T>() + " D " + std::to_string(s.dim);
  OnDevice<T> turned(s.batch * s.heads * s.dim), caches(2 * cache), other_turned(turned.size()), other_caches(2 * cache);
  caches.upload(old);
  other_caches.upload(old);
  const cuda::NewToken token{packed_device.data(), keys, values, width, width, turned.data(), caches.data(), caches.data() + cache};
  expect_success(cuda::append_token(type_of<T>(), token, seqlens.data(), rotation, s, nullptr), what);
  if (!c.has_positions) rotation.positions = slots_device.data();
  const cuda::HeadSizes own{s.batch, s.heads, 1, s.dim}, shared{s.batch, s.groups, 1, s.dim};
  const HeadStrides from = by_token(1, width, s.dim), in_cache = by_head(s.groups, s.slots, s.dim);
  expect_success(
      cuda::place_heads(type_of<T>(), packed_device.data(), from, other_turned.data(), by_head(s.heads, 1, s.dim), own, rotation, nullptr, 1, nullptr), what);
  expect_success(cuda::place_heads(type_of<T>(), keys, from, other_caches.data(), in_cache, shared, rotation, slots_device.data(), s.slots, nullptr), what);
  expect_success(cuda::place_heads(type_of<T>(), values, from, other_caches.data() + cache, in_cache, shared, {}, slots_device.data(), s.slots, nullptr), what);
  const auto same = [](const std::vector<T>& a, const std::vector<T>& b) { return std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0; };
  expect(same(turned.download(what), other_turned.download(what)), what + ": another query");
  expect(same(caches.download(what), other_caches.download(what)), what + ": another cache");
}

/// One matrix of packed weights, and what it stands for: `zero_kind` 0 none, 1 codes, 2 numbers.
template <class T>
struct PackedOperand {
  std::vector<uint8_t> codes, zero_codes;
  std::vector<T> scales, zeros, bias;
  OnDevice<uint8_t> codes_device, zero_codes_device;
  OnDevice<T> scales_device, zeros_device, bias_device;
  std::vector<float> weights;  // (N, K), in float32 whatever T is

  static std::vector<uint8_t> bytes(int64_t count, int64_t step, int64_t first) {
    std::vector<uint8_t> all;
    for (int64_t i = 0; i < count; ++i) all.push_back(static_cast<uint8_t>(i * step + i / 7 + first));
    return all;
  }

  static std::vector<float> wide(const std::vector<T>& values) {
    std::vector<float> all;
    for (const T x : values) all.push_back(static_cast<float>(real(x)));
    return all;
  }

  PackedOperand(const cuda::PackedWeights& w, int zero_kind, int seed)
      : codes(bytes(w.n * w.blocks() * w.block * w.bits / 8, 151, seed)),
        zero_codes(bytes(w.n * w.zero_bytes(), 91, 3 + seed)),
        scales(rounded_to<T>(w.n * w.blocks(), 71 + seed)),
        zeros(rounded_to<T>(w.n * w.blocks(), 72 + seed)),
        bias(rounded_to<T>(w.n, 74 + seed)),
        codes_device(codes),
        zero_codes_device(zero_codes),
        scales_device(scales),
        zeros_device(zeros),
        bias_device(bias) {
    const OnDevice<float> wide_scales(wide(scales)), wide_zeros(wide(zeros)), unpacked(w.n * w.k);
    const void* given = zero_kind == 0 ? nullptr : (zero_kind == 1 ? static_cast<const void*>(zero_codes_device.data()) : wide_zeros.data());
    const DType type = zero_kind == 0 ? DType::kUndefined : (zero_kind == 1 ? DType::kUInt8 : DType::kFloat);
    expect_success(cuda::unpack_weights(DType::kFloat, codes_device.data(), wide_scales.data(), type, given, unpacked.data(), w, nullptr), "unpacked weights");
    weights = unpacked.download("unpacked weights");
  }

  cuda::PackedMatrix matrix(int64_t n, int zero_kind, bool has_bias) const {
    const void* given = zero_kind == 0 ? nullptr : (zero_kind == 1 ? static_cast<const void*>(zero_codes_device.data()) : zeros_device.data());
    return {.codes = codes_device.data(), .scales = scales_device.data(), .zeros = given, .bias = has_bias ? bias_device.data() : nullptr, .n = n};
  }
};

/// Products of one A with matrices of these many rows, side by side or gated, against plain loops in float64.
template <class T>
void check_packed_products(const cuda::PackedWeights& w, std::initializer_list<int64_t> sizes, int64_t rows, int zero_kind, bool has_bias, bool is_gated,
                           float largest = 1) {
  auto a = rounded_to<T>(rows * w.k, 73);
  for (size_t i = 0; i < a.size(); i += 37) a[i] = from_float<T>(static_cast<float>(real(a[i])) * largest);
  const OnDevice<T> a_device(a);
  const std::string what = "packed products " + std::to_string(w.bits) + " bits " + name_of_type<T>() + " of " + std::to_string(rows) + " rows, " +
                           std::to_string(sizes.size()) + (is_gated ? " gated" : " side by side");
  cuda::PackedMatrices all{.matrices = {},
                           .count = 0,
                           .zero_type = zero_kind == 0 ? DType::kUndefined : (zero_kind == 1 ? DType::kUInt8 : type_of<T>()),
                           .k = w.k,
                           .block = w.block,
                           .bits = w.bits,
                           .is_gated = is_gated};
  std::vector<std::unique_ptr<PackedOperand<T>>> operands;
  for (const int64_t n : sizes) {
    operands.push_back(std::make_unique<PackedOperand<T>>(cuda::PackedWeights{.n = n, .k = w.k, .block = w.block, .bits = w.bits}, zero_kind, all.count * 5));
    all.matrices[all.count++] = operands.back()->matrix(n, zero_kind, has_bias);
  }
  std::vector<double> expected;
  double most = 0, slope = is_gated ? 0 : 1;  // `most`: by how much a sum in float32 may be off, as its terms say
  for (int64_t row = 0; row < rows; ++row) {
    std::vector<double> sums;
    for (const auto& operand : operands) {
      for (size_t n = 0; n < operand->bias.size(); ++n) {
        double sum = has_bias ? real(operand->bias[n]) : 0, size = std::fabs(sum);
        for (int64_t k = 0; k < w.k; ++k) {
          const double term =
              real(a[static_cast<size_t>(row * w.k + k)]) * static_cast<double>(operand->weights[n * static_cast<size_t>(w.k) + static_cast<size_t>(k)]);
          sum += term, size += std::fabs(term);
        }
        sums.push_back(sum);
        most = std::max(most, size * 1e-6);
      }
    }
    for (size_t n = 0, half = sums.size() / 2; is_gated && n < half; ++n) {
      const double gate = sums[n] / (1 + std::exp(-sums[n]));
      slope = std::max(slope, 1.1 * std::fabs(sums[half + n]) + std::fabs(gate));  // of silu(gate) up, by either
      sums[n] = gate * sums[half + n];
    }
    if (is_gated) sums.resize(sums.size() / 2);
    expected.insert(expected.end(), sums.begin(), sums.end());
  }
  expect(cuda::packed_products_support(rows, all), what + ": refused");
  const auto found =
      run_twice<T>(what, rows * all.columns(), [&](T* out) { return cuda::packed_products(type_of<T>(), a_device.data(), rows, all, out, nullptr); });
  expect_all_near<T>(
      found, expected, [&](double v) { return within<T>(is_gated ? 8 : 2)(v) + most * slope; }, what);
}

template <class T>
void check_packed_product(const cuda::PackedWeights& w, int64_t rows, int zero_kind, bool has_bias) {
  check_packed_products<T>(w, {w.n}, rows, zero_kind, has_bias, false);
}

template <class T>
void check_row_product(int64_t rows, int64_t n, int64_t k, bool has_bias) {
  const auto a = rounded_to<T>(rows * k, 81), w = rounded_to<T>(n * k, 82), bias = rounded_to<T>(n, 83);
  const OnDevice<T> a_device(a), w_device(w), bias_device(bias);
  const float alpha = has_bias ? 0.5f : 1.0f, beta = 2.0f;
  const std::string what = "product " + name_of_type<T>() + " of " + std::to_string(rows) + " rows of " + std::to_string(k);
  std::vector<double> expected;
  double most = 0;
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t i = 0; i < n; ++i) {
      double sum = 0, size = 0;
      for (int64_t j = 0; j < k; ++j) {
        const double term = real(a[static_cast<size_t>(row * k + j)]) * real(w[static_cast<size_t>(i * k + j)]);
        sum += term, size += std::fabs(term);
      }
      expected.push_back(static_cast<double>(alpha) * sum + (has_bias ? static_cast<double>(beta) * real(bias[static_cast<size_t>(i)]) : 0));
      most = std::max(most, size * 1e-6);
    }
  }
  expect(cuda::row_product_supports(type_of<T>(), a_device.data(), w_device.data(), rows, k), what + ": refused");
  const auto found = run_twice<T>(what, rows * n, [&](T* out) {
    return cuda::row_product(type_of<T>(), a_device.data(), w_device.data(), has_bias ? bias_device.data() : nullptr, out, rows, n, k, alpha, beta, nullptr);
  });
  expect_all_near<T>(
      found, expected, [&](double v) { return within<T>(2)(v) + most; }, what);
}

}  // namespace

HALO_CHECK(cuda_attention_of_a_token_as_plain_loops, Memory::kShared) {
  for_floats([]<class T>() {
    check_attending<T>({{2, 4, 2, 24, 16}, {23, 0}});
    check_attending<T>({{2, 4, 1, 200, 64}, {198, 63}});
    check_attending<T>({{1, 3, 3, 130, 20}, {128}, 70});
    check_attending<T>({{1, 20, 2, 70, 32}, {64}, 3});
    check_attending<T>({{1, 2, 1, 90, 256}, {80}});
    check_attending<T>({{1, 2, 2, 70, 130}, {69}});
    if (!is_reduced()) check_attending<T>({{3, 32, 8, 9000, 64}, {8999, 4000, 17}});
  });
}

HALO_CHECK(cuda_appended_token_as_placed_heads) {
  for_floats([]<class T>() {
    check_appending<T>({{2, 4, 2, 24, 16}, {23, 4}, 0, 16});
    check_appending<T>({{3, 2, 1, 9, 20}, {8, 0, 3}, 0, 8, true, true});
    check_appending<T>({{1, 2, 2, 5, 5}, {4}, 0, 0});
  });
}

HALO_CHECK(cuda_packed_products_of_few_rows_as_plain_loops, Memory::kShared) {
  for_floats([]<class T>() {
    for (int zero_kind = 0; zero_kind < 3; ++zero_kind) {
      check_packed_product<T>({.n = 37, .k = 96, .block = 32, .bits = 4}, 1 + zero_kind, zero_kind, zero_kind == 1);
      check_packed_product<T>({.n = 9, .k = 100, .block = 32, .bits = 8}, 4 - zero_kind, zero_kind, zero_kind == 0);  // the last block is cut
      check_packed_product<T>({.n = 5, .k = 256, .block = 64, .bits = 2}, 1, zero_kind, false);
    }
    check_packed_product<T>({.n = 3, .k = 3000, .block = 128, .bits = 4}, 2, 0, false);
    check_packed_product<T>({.n = 6, .k = 9216, .block = 32, .bits = 8}, 1, 1, false);  // more parts of K than warps
    check_packed_product<T>({.n = 4200, .k = 16, .block = 16, .bits = 8}, 1, 1, true);  // more tiles than warps, a unit each
    const float largest = std::is_same_v<T, Float16> ? 30.0f : 1e6f;                    // elements that differ by more than float16 holds
    check_packed_products<T>({.n = 40, .k = 330, .block = 32, .bits = 4}, {40}, 2, 1, false, false, largest);
    for (int zero_kind = 0; zero_kind < 3; ++zero_kind) {
      check_packed_products<T>({.n = 0, .k = 160, .block = 32, .bits = 4}, {33, 8, 17}, 1 + zero_kind, zero_kind, zero_kind > 0, false);
      check_packed_products<T>({.n = 0, .k = 96, .block = 32, .bits = 4}, {21, 21}, 3 - zero_kind, zero_kind, zero_kind == 1, true);
    }
    check_packed_products<T>({.n = 0, .k = 64, .block = 32, .bits = 8}, {16, 16}, 1, 0, false, false);
    if (!is_reduced()) check_packed_product<T>({.n = 5000, .k = 2048, .block = 32, .bits = 4}, 1, 0, false);
  });
}

HALO_CHECK(cuda_products_of_few_rows_as_plain_loops, Memory::kShared) {
  for_floats([]<class T>() {
    for (int64_t rows = 1; rows <= cuda::kMostProductRows; ++rows) check_row_product<T>(rows, 7, 1048, rows % 2 == 0);
    check_row_product<T>(1, 5, 8, true);
    check_row_product<T>(2, 3, 2048, false);
    check_row_product<T>(1, 3, 12000, true);  // more parts of K than warps
    if (!is_reduced()) check_row_product<T>(1, 5000, 8192, false);
  });
}

}  // namespace halo::check
