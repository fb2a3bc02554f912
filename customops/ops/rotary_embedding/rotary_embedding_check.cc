#include "ops/rotary_embedding/rotary_embedding.h"

#include <cmath>

#include "check/check.h"
#include "check/head_order.h"
#include "common/dtype.h"

namespace halo::check::rotary_embedding {

namespace {

template <class T>
void check_rotary(const RotarySizes& s, bool has_positions, bool inverse, double rounding) {
  const int64_t count = s.batch * s.heads * s.tokens * s.dim, half = s.dim / 2;
  const auto values = normal(count, static_cast<uint32_t>(s.dim)), angles = normal(s.positions * half, 7);
  std::vector<T> x(values.size());
  for (size_t i = 0; i < x.size(); ++i) x[i] = from_float<T>(values[i]);
  std::vector<float> cos(angles.size()), sin(angles.size());
  for (size_t i = 0; i < angles.size(); ++i) {
    cos[i] = std::cos(angles[i]);
    sin[i] = std::sin(angles[i]);
  }
  std::vector<int64_t> ids(static_cast<size_t>(s.batch * s.tokens));
  for (size_t i = 0; i < ids.size(); ++i) ids[i] = has_positions ? static_cast<int64_t>(i * 7) % s.positions : static_cast<int64_t>(i) % s.tokens;
  const int64_t* given = has_positions ? ids.data() : nullptr;
  Guarded<T> y(count), again(count);
  expect(rotary_embedding_cpu(x.data(), cos.data(), sin.data(), given, y.data(), s, inverse, ThreadedExecutor()).ok(), "refused");
  expect(rotary_embedding_cpu(x.data(), cos.data(), sin.data(), given, again.data(), s, inverse, SerialExecutor()).ok(), "refused");
  expect(y.intact() && again.intact(), "wrote outside");
  expect(__builtin_memcmp(y.data(), again.data(), static_cast<size_t>(count) * sizeof(T)) == 0, "threads changed bits");
  const auto x_by_token = as_bshd(x, s.heads, s.tokens, s.dim),
             expected_by_token = as_bshd(std::vector<T>(y.data(), y.data() + count), s.heads, s.tokens, s.dim);
  const RotarySizes by_token = in_bshd(s);
  expect(rotary_embedding_cpu(x_by_token.data(), cos.data(), sin.data(), given, again.data(), by_token, inverse, ThreadedExecutor()).ok(), "refused");
  expect(same(again.data(), expected_by_token.data(), count) && again.intact(), "heads side by side changed bits");
  for (int64_t i = 0; i < count; ++i) {
    const int64_t d = i % s.dim, row = i / s.dim;
    const int64_t at = ids[static_cast<size_t>(row / (s.heads * s.tokens) * s.tokens + row % s.tokens)] * half + d % half;
    const double own = to_float(x[static_cast<size_t>(i)]), other = to_float(x[static_cast<size_t>(d < half ? i + half : i - half)]);
    const double expected = own * cos[static_cast<size_t>(at)] + ((d < half) != inverse ? -1 : 1) * other * sin[static_cast<size_t>(at)];
    const double tolerance = 3 * 0x1p-24 * (std::fabs(own) + std::fabs(other)) + rounding * std::fabs(expected);
    expect_near(to_float(y[i]), expected, tolerance, "rotary dim " + std::to_string(s.dim) + " element " + std::to_string(i));
  }
}

}  // namespace

HALO_CHECK(rotary_embedding_rotates_pairs) {
  for (const RotarySizes& s : {RotarySizes{1, 1, 1, 2, 1}, {2, 3, 7, 6, 9}, {2, 1, 33, 8, 33}, {3, 4, 65, 64, 80}, {1, 2, 300, 34, 300}}) {
    for (const bool has_positions : {false, true}) {
      for (const bool inverse : {false, true}) {
        check_rotary<float>(s, has_positions, inverse, 0);
        check_rotary<BFloat16>(s, has_positions, inverse, 1.0 / 256);
        check_rotary<Float16>(s, has_positions, inverse, 1.0 / 2048);
      }
    }
  }
}

HALO_CHECK(rotary_embedding_refuses_positions_without_a_row) {
  const std::vector<float> x(8), table(8);
  std::vector<float> y(8);
  const RotarySizes sizes{1, 1, 2, 4, 3};
  for (const int64_t bad : {int64_t{-1}, int64_t{3}}) {
    const int64_t ids[] = {0, bad};
    expect(!rotary_embedding_cpu(x.data(), table.data(), table.data(), ids, y.data(), sizes, false, SerialExecutor()).ok(), "accepted a bad position");
  }
  const RotarySizes short_tables{1, 1, 2, 4, 1};
  const int64_t* none = nullptr;
  expect(!rotary_embedding_cpu(x.data(), table.data(), table.data(), none, y.data(), short_tables, false, SerialExecutor()).ok(), "accepted short tables");
}

}  // namespace halo::check::rotary_embedding
