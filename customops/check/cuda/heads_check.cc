// Rows of heads brought into order and rotated, and attention under masks and over caches, against plain loops.
#include "provider/kernels/heads.h"

#include "check/cuda/device.h"
#include "provider/kernels/masked_attention.h"

namespace halo::check {

namespace {

using cuda::HeadSizes;
using cuda::Rotation;

struct Placing {
  HeadSizes sizes;
  int64_t turned;
  bool is_interleaved, has_positions, has_places, is_by_token;
};

/// Into (B, H, P, D) with P = T + 3; rows that no token becomes stay as they were.
template <class T>
void check_placing(const Placing& p) {
  const HeadSizes& s = p.sizes;
  const int64_t half = p.turned / 2, rows = 17, places_count = s.tokens + 3, width = s.heads * s.dim;
  const auto x = numbers<T>(s.batch * s.heads * s.tokens * s.dim, 81);
  const auto cos = rounded_to<T>(rows * half, 82), sin = rounded_to<T>(rows * half, 83);
  std::vector<int64_t> positions, places;
  for (int64_t i = 0; i < s.batch * s.tokens; ++i) {
    positions.push_back(i == 4 ? rows : i * 5 % rows);
    places.push_back(i % s.tokens + i / s.tokens - 1);  // the first token of the first row has none
  }
  const HeadStrides from = p.is_by_token ? by_token(s.tokens, width, s.dim) : by_head(s.heads, s.tokens, s.dim);
  const HeadStrides to = by_head(s.heads, places_count, s.dim);
  const int64_t count = s.batch * s.heads * places_count * s.dim;
  T untouched;
  __builtin_memset(&untouched, 0xA5, sizeof(T));
  std::vector<double> expected(static_cast<size_t>(count), real(untouched));
  for (int64_t b = 0; b < s.batch; ++b) {
    for (int64_t h = 0; h < s.heads; ++h) {
      for (int64_t t = 0; t < s.tokens; ++t) {
        const int64_t place = p.has_places ? places[static_cast<size_t>(b * s.tokens + t)] : t;
        if (place < 0 || place >= places_count) continue;
        const int64_t position = p.has_positions ? positions[static_cast<size_t>(b * s.tokens + t)] : t;
        const auto in = [&](int64_t d) { return real(x[static_cast<size_t>(b * from.batch + h * from.head + t * from.token + d)]); };
        double* out = expected.data() + b * to.batch + h * to.head + place * to.token;
        for (int64_t d = 0; d < s.dim; ++d) out[d] = in(d);
        for (int64_t i = 0; i < half; ++i) {
          const int64_t first = p.is_interleaved ? 2 * i : i, second = p.is_interleaved ? first + 1 : i + half;
          const double c = position < rows ? real(cos[static_cast<size_t>(position * half + i)]) : NAN;
          const double w = position < rows ? real(sin[static_cast<size_t>(position * half + i)]) : NAN;
          out[first] = in(first)*c - in(second)*w;
          out[second] = in(second)*c + in(first)*w;
        }
      }
    }
  }
  const OnDevice<T> x_device(x), cos_device(cos), sin_device(sin);
  const OnDevice<int64_t> positions_device(positions), places_device(places);
  const Rotation rotation{.cos = cos_device.data(),
                          .sin = sin_device.data(),
                          .turned = p.turned,
                          .rows = rows,
                          .positions = p.has_positions ? positions_device.data() : nullptr,
                          .is_interleaved = p.is_interleaved};
  const std::string what = "heads " + name_of_type<T>() + " of " + std::to_string(s.dim) + ", " + std::to_string(p.turned) + " turned";
  const auto found = run_twice<T>(what, count, [&](T* out) {
    return cuda::place_heads(type_of<T>(), x_device.data(), from, out, to, s, rotation, p.has_places ? places_device.data() : nullptr, places_count, nullptr);
  });
  // Differences of products of up to 300 by 3.
  expect_all_near<T>(
      found, expected, [](double v) { return within<T>(4)(v) + 1e-4; }, what);
}

struct Masking {
  AttentionSizes sizes;
  int64_t value_dim;
  bool causal;
  int mask;  // 0 none, 1 bool (B, 1, T, S), 2 added (H, 1, S), 3 bool that hides a whole row
  bool has_past;
  int64_t window = 0;
};

template <class T>
void check_masking(const Masking& m) {
  const AttentionSizes& s = m.sizes;
  const int64_t queries = s.batch * s.heads * s.queries, key_rows = s.batch * s.groups * s.keys;
  const auto q = rounded_to<T>(queries * s.dim, 91), k = rounded_to<T>(key_rows * s.dim, 92), v = rounded_to<T>(key_rows * m.value_dim, 93);
  const auto added = rounded_to<T>(s.heads * s.keys, 94);
  std::vector<uint8_t> shown;
  for (int64_t i = 0; i < s.batch * s.queries * s.keys; ++i) shown.push_back(i % 5 != 2 && (m.mask != 3 || i / s.keys % s.queries != 1));
  std::vector<int64_t> past;
  for (int64_t b = 0; b < s.batch; ++b) past.push_back(s.keys - s.queries - b), past.push_back(-1);
  const double scale = 1 / std::sqrt(static_cast<double>(s.dim));
  std::vector<double> expected;
  for (int64_t row = 0; row < queries; ++row) {
    const int64_t t = row % s.queries, h = row / s.queries % s.heads, b = row / s.queries / s.heads, pair = b * s.groups + h / (s.heads / s.groups);
    std::vector<double> weights;
    double most = -INFINITY, sum = 0;
    for (int64_t j = 0; j < s.keys; ++j) {
      double score = 0;
      for (int64_t d = 0; d < s.dim; ++d) {
        score += real(q[static_cast<size_t>(row * s.dim + d)]) * real(k[static_cast<size_t>((pair * s.keys + j) * s.dim + d)]);
      }
      score *= scale;
      if (m.mask == 2) score += real(added[static_cast<size_t>(h * s.keys + j)]);
      const bool is_shown = (m.mask != 1 && m.mask != 3) || shown[static_cast<size_t>((b * s.queries + t) * s.keys + j)] != 0;
      const int64_t at = t + (m.has_past ? past[static_cast<size_t>(2 * b)] : 0);
      const bool is_past = !m.causal || (j <= at && (m.window == 0 || j > at - m.window));
      weights.push_back(is_shown && is_past ? score : -3e38);
      most = std::max(most, weights.back());
    }
    for (double& w : weights) sum += w = std::exp(w - most);
    for (int64_t d = 0; d < m.value_dim; ++d) {
      double total = 0;
      for (int64_t j = 0; j < s.keys; ++j) total += weights[static_cast<size_t>(j)] * real(v[static_cast<size_t>((pair * s.keys + j) * m.value_dim + d)]);
      expected.push_back(total / sum);
    }
  }
  const OnDevice<T> q_device(q), k_device(k), v_device(v), added_device(added);
  const OnDevice<uint8_t> shown_device(shown);
  const OnDevice<int64_t> past_device(past);
  cuda::ScoreMask mask{.causal = m.causal, .window = m.window, .past = m.has_past ? past_device.data() : nullptr, .past_step = 2};
  if (m.mask == 2) mask.values = added_device.data(), mask.strides[1] = s.keys, mask.strides[3] = 1;
  if (m.mask == 1 || m.mask == 3) {
    mask.values = shown_device.data(), mask.is_bool = true;
    mask.strides[0] = s.queries * s.keys, mask.strides[2] = s.keys, mask.strides[3] = 1;
  }
  const std::string what = "masked attention " + name_of_type<T>() + " T " + std::to_string(s.queries) + " S " + std::to_string(s.keys) + " D " +
                           std::to_string(s.dim) + " mask " + std::to_string(m.mask);
  const auto found = run_twice<T>(what, queries * m.value_dim, [&](T* out) {
    return cuda::masked_attention(type_of<T>(), q_device.data(), k_device.data(), v_device.data(), mask, out, s, m.value_dim, static_cast<float>(scale),
                                  nullptr);
  });
  expect_all_near<T>(
      found, expected, [](double x) { return within<T>(16)(x) + 2e-6 * (1 + std::fabs(x)); }, what);
}

}  // namespace

HALO_CHECK(cuda_heads_are_placed_and_turned) {
  for_floats([]<class T>() {
    check_placing<T>({{2, 3, 9, 16}, 16, false, false, false, false});
    check_placing<T>({{2, 3, 9, 16}, 8, false, true, false, true});
    check_placing<T>({{2, 2, 5, 20}, 20, true, true, true, true});
    check_placing<T>({{3, 1, 1, 64}, 64, false, true, true, true});
    check_placing<T>({{2, 2, 7, 5}, 0, false, false, true, false});
  });
}

HALO_CHECK(cuda_places_end_each_row_of_a_cache) {
  const OnDevice<int32_t> lengths(std::vector<int32_t>{6, 2, 9});
  const auto run = [&](bool is_prompt) {
    return run_twice<int64_t>("places", 6, [&](int64_t* out) { return cuda::cache_slots(lengths.data(), 3, 2, is_prompt, out, nullptr); });
  };
  expect(run(false) == std::vector<int64_t>{5, 6, 1, 2, 8, 9}, "places behind a past");
  expect(run(true) == std::vector<int64_t>{0, 1, 0, 1, 0, 1}, "places of a prompt");
}

HALO_CHECK(cuda_masked_attention_as_plain_loops, Memory::kShared) {
  for_floats([]<class T>() {
    check_masking<T>({{2, 4, 2, 24, 24, 16}, 16, true, 0, false});
    check_masking<T>({{2, 4, 2, 24, 24, 16}, 16, true, 1, false});
    check_masking<T>({{2, 2, 2, 9, 70, 20}, 20, false, 2, false});
    check_masking<T>({{1, 2, 1, 5, 33, 64}, 70, false, 3, false});
    check_masking<T>({{3, 6, 2, 1, 140, 32}, 32, true, 0, true});
    check_masking<T>({{2, 4, 1, 40, 75, 128}, 128, true, 0, true});
    check_masking<T>({{1, 2, 2, 3, 40, 256}, 256, true, 0, true});
    check_masking<T>({{2, 4, 2, 90, 90, 16}, 16, true, 0, false, 7});
    check_masking<T>({{2, 4, 1, 40, 175, 32}, 32, true, 0, true, 33});
    check_masking<T>({{2, 2, 2, 1, 140, 32}, 32, true, 0, true, 5});
    if (!is_reduced()) check_masking<T>({{2, 8, 2, 200, 300, 64}, 64, true, 1, true});
  });
}

}  // namespace halo::check
