#include "common/hadamard_matrix.h"

#include <array>
#include <bit>
#include <map>
#include <string_view>

namespace halo {

namespace {

constexpr int64_t kMaxOrder = 1024;  // Hadamard.MaxOrder

/// The orders of HALO's reference implementation, in the order it tries them.
constexpr std::array<int64_t, 14> kReferenceOrders = {1, 172, 156, 140, 108, 100, 60, 52, 36, 28, 40, 20, 12, 44};

/// First rows of the circulants A, B, C, D; row i is the first row shifted right by i.
const std::map<int64_t, std::array<std::string_view, 4>>& williamson_rows() {
  static const std::map<int64_t, std::array<std::string_view, 4>> rows = {
      {52, {"+-+--++++--+-", "+---++++++---", "++-+--++--+-+", "+----+--+----"}},
      {100, {"+-++++----++--++----++++-", "+++-+++---+-++-+---+++-++", "+-++-+++-++----++-+++-++-", "+--++-+-+--------+-+-++--"}},
      {156,
       {"+++--+-+-----+--++----++--+-----+-+--++", "++++---+--++----+-+--+-+----++--+---+++", "+++--++-+---+-+--+----+--+-+---+-++--++",
        "+---++-+-+-----+++-++-+++-----+-+-++---"}},
      {172,
       {"+---++--++++-+-+++-++--++-+++-+-++++--++---", "++-++++++----+-+--++-++-++--+-+----++++++-+", "+++-+-++--+-+-++++-+----+-++++-+-+--++-+-++",
        "++---++++-+--+--++--------++--+--+-++++---+"}},
  };
  return rows;
}

bool is_prime(int64_t n) {
  if (n < 2) return false;
  for (int64_t d = 2; d * d <= n; ++d) {
    if (n % d == 0) return false;
  }
  return true;
}

bool is_paley1(int64_t order) { return order % 4 == 0 && is_prime(order - 1); }

bool is_paley2(int64_t order) { return order % 4 == 0 && (order / 2 - 1) % 4 == 1 && is_prime(order / 2 - 1); }

int64_t modulo(int64_t a, int64_t n) { return (a % n + n) % n; }

/// chi(i) = 1 for squares modulo q, -1 for others, 0 for 0.
std::vector<float> quadratic_character(int64_t q) {
  std::vector<float> chi(static_cast<size_t>(q), -1.0f);
  for (int64_t i = 1; i < q; ++i) chi[static_cast<size_t>(i * i % q)] = 1.0f;
  chi[0] = 0.0f;
  return chi;
}

template <class F>
std::vector<float> fill(int64_t order, F&& element) {
  std::vector<float> signs(static_cast<size_t>(order * order));
  for (int64_t i = 0; i < order; ++i) {
    for (int64_t j = 0; j < order; ++j) signs[static_cast<size_t>(i * order + j)] = element(i, j);
  }
  return signs;
}

/// [[1, 1..1], [-1, Q + I]], Q_ij = chi(i - j).
std::vector<float> paley1(int64_t order) {
  const auto chi = quadratic_character(order - 1);
  return fill(order, [&](int64_t i, int64_t j) {
    if (i == 0 || i == j) return 1.0f;
    return j == 0 ? -1.0f : chi[static_cast<size_t>(modulo(i - j, order - 1))];
  });
}

/// In C = [[0, 1..1], [1, Q]], c becomes c [[1, 1], [1, -1]] and 0 becomes [[1, -1], [-1, -1]].
std::vector<float> paley2(int64_t order) {
  const int64_t q = order / 2 - 1;
  const auto chi = quadratic_character(q);
  return fill(order, [&](int64_t i, int64_t j) {
    const int64_t row = i / 2, column = j / 2;
    const bool is_first = i % 2 == 0 && j % 2 == 0;
    if (row == column) return is_first ? 1.0f : -1.0f;
    const float c = row == 0 || column == 0 ? 1.0f : chi[static_cast<size_t>(modulo(row - column, q))];
    return i % 2 == 1 && j % 2 == 1 ? -c : c;
  });
}

/// [[A, B, C, D], [-B, A, -D, C], [-C, D, A, -B], [-D, -C, B, A]].
std::vector<float> williamson(int64_t order) {
  constexpr int kBlock[4][4] = {{0, 1, 2, 3}, {1, 0, 3, 2}, {2, 3, 0, 1}, {3, 2, 1, 0}};
  constexpr float kSign[4][4] = {{1, 1, 1, 1}, {-1, 1, -1, 1}, {-1, 1, 1, -1}, {-1, -1, 1, 1}};
  const auto& rows = williamson_rows().at(order);
  const int64_t n = order / 4;
  return fill(order, [&](int64_t i, int64_t j) {
    const auto a = static_cast<size_t>(i / n), b = static_cast<size_t>(j / n);
    const char sign = rows[static_cast<size_t>(kBlock[a][b])][static_cast<size_t>(modulo(j % n - i % n, n))];
    return sign == '+' ? kSign[a][b] : -kSign[a][b];
  });
}

/// [[1, 1], [1, -1]] (x) half.
std::vector<float> doubled(const std::vector<float>& half, int64_t n) {
  return fill(2 * n, [&](int64_t i, int64_t j) {
    const float sign = half[static_cast<size_t>((i % n) * n + j % n)];
    return i >= n && j >= n ? -sign : sign;
  });
}

}  // namespace

HadamardOrder hadamard_order(int64_t n) {
  if (n < 1) return {};
  const auto with = [n](int64_t order) { return HadamardOrder{order, std::countr_zero(static_cast<uint64_t>(n / order))}; };
  for (const int64_t order : kReferenceOrders) {
    if (n % order == 0 && std::has_single_bit(static_cast<uint64_t>(n / order))) return with(order);
  }
  for (int64_t order = (n >> std::countr_zero(static_cast<uint64_t>(n))) << 2; order <= kMaxOrder && n % order == 0; order <<= 1) {
    if (is_paley1(order) || is_paley2(order)) return with(order);
  }
  return {};
}

std::vector<float> hadamard_signs(int64_t order) {
  if (order == 1) return {1.0f};
  if (order == 40) return doubled(paley1(20), 20);
  if (williamson_rows().contains(order)) return williamson(order);
  return is_paley1(order) ? paley1(order) : paley2(order);
}

SignRule hadamard_sign_rule(int64_t order) {
  SignRule rule;
  const auto set = [&rule](int64_t i, bool is_minus) { rule.bits[i / 32] |= static_cast<uint32_t>(is_minus) << (i % 32); };
  const auto set_character = [&](int64_t q) {
    const auto chi = quadratic_character(q);
    for (int64_t i = 0; i < q; ++i) set(i, chi[static_cast<size_t>(i)] < 0);
  };
  rule.is_doubled = order == 40;
  rule.order = static_cast<int>(rule.is_doubled ? order / 2 : order);
  if (order == 1) {
    rule.kind = SignRule::kOne;
  } else if (williamson_rows().contains(order)) {
    rule.kind = SignRule::kWilliamson;
    const auto& rows = williamson_rows().at(order);
    for (int64_t r = 0; r < 4; ++r) {
      for (int64_t i = 0; i < order / 4; ++i) set(64 * r + i, rows[static_cast<size_t>(r)][static_cast<size_t>(i)] == '-');
    }
  } else if (is_paley1(rule.order)) {
    rule.kind = SignRule::kPaley1;
    set_character(rule.order - 1);
  } else {
    rule.kind = SignRule::kPaley2;
    set_character(rule.order / 2 - 1);
  }
  return rule;
}

}  // namespace halo
