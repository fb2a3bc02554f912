#include "ops/hadamard_transform/hadamard_transform.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <mutex>
#include <utility>

#include "common/dtype.h"
#include "common/hadamard_matrix.h"

namespace halo {

namespace {

/// Eight floats, what one AVX register holds: wider vectors are taken apart through memory where registers are narrower.
constexpr int kLanes = 8;
typedef float Lanes __attribute__((vector_size(kLanes * sizeof(float)), may_alias));
typedef int32_t LaneIndex __attribute__((vector_size(kLanes * sizeof(int32_t))));

/// What a tile may take of the first-level cache.
constexpr int64_t kCachedLanes = 768;

/// (a, b, c, d) times the Sylvester matrix of order 4, rows `quarter` apart.
inline void butterfly(Lanes* t, int64_t quarter) {
  const Lanes a = t[0], b = t[quarter], c = t[2 * quarter], d = t[3 * quarter];
  const Lanes ac = a + c, a_c = a - c, bd = b + d, b_d = b - d;
  t[0] = ac + bd;
  t[quarter] = ac - bd;
  t[2 * quarter] = a_c + b_d;
  t[3 * quarter] = a_c - b_d;
}

/// Walsh-Hadamard over `length` rows of `width` lanes each, unscaled; two levels at a time, so that a row is read and written log2(length) / 2 times.
/// A tile larger than the cache is halved twice first, and each quarter finished before the next.
template <int width>
void transform_rows(Lanes* t, int64_t length) {
  const int64_t total = length * width;
  int64_t span = total;
  if (total > kCachedLanes) {
    for (int64_t i = 0; i < total / 4; ++i) butterfly(t + i, total / 4);
    for (int64_t q = 0; q < 4; ++q) transform_rows<width>(t + q * (total / 4), length / 4);
    return;
  }
  for (; span >= 4 * width; span /= 4) {
    for (int64_t base = 0; base < total; base += span) {
      for (int64_t i = base; i < base + span / 4; ++i) butterfly(t + i, span / 4);
    }
  }
  for (int64_t base = 0; span == 2 * width && base < total; base += span) {
    for (int64_t i = base; i < base + width; ++i) {
      const Lanes a = t[i], b = t[i + width];
      t[i] = a + b;
      t[i + width] = a - b;
    }
  }
}

/// Walsh-Hadamard within the lanes.
inline Lanes transform_lanes(Lanes x) {
  x = Lanes{1, -1, 1, -1, 1, -1, 1, -1} * x + __builtin_shuffle(x, LaneIndex{1, 0, 3, 2, 5, 4, 7, 6});
  x = Lanes{1, 1, -1, -1, 1, 1, -1, -1} * x + __builtin_shuffle(x, LaneIndex{2, 3, 0, 1, 6, 7, 4, 5});
  return Lanes{1, 1, 1, 1, -1, -1, -1, -1} * x + __builtin_shuffle(x, LaneIndex{4, 5, 6, 7, 0, 1, 2, 3});
}

/// A matrix of +-1 by groups of four columns: for row i and group g the signs as four bits, the first column lowest, 1 for minus.
struct SignGroups {
  int64_t order = 1;
  std::vector<uint8_t> bits;  // (order, order / 4)
};

SignGroups group_signs(int64_t order, const std::vector<float>& signs, bool transposed) {
  SignGroups groups{order, std::vector<uint8_t>(static_cast<size_t>(order * (order / 4)))};
  for (int64_t i = 0; i < order && order > 1; ++i) {
    for (int64_t j = 0; j < order; ++j) {
      const bool is_minus = signs[static_cast<size_t>(transposed ? j * order + i : i * order + j)] < 0;
      groups.bits[static_cast<size_t>(i * (order / 4) + j / 4)] |= static_cast<uint8_t>(is_minus << (j % 4));
    }
  }
  return groups;
}

/// The matrix of an order, made once a process: there are few orders, and the largest takes 256 KiB.
const SignGroups& sign_groups(int64_t order, bool transposed) {
  static std::mutex mutex;
  static auto& made = *new std::map<std::pair<int64_t, bool>, SignGroups>;  // kernels may run until the process ends
  const std::lock_guard lock(mutex);
  const auto [at, is_new] = made.try_emplace({order, transposed});
  if (is_new) at->second = group_signs(order, hadamard_signs(order), transposed);
  return at->second;
}

/// All sixteen sums +-a +-b +-c +-d, by the bits of SignGroups.
inline void signed_sums(Lanes a, Lanes b, Lanes c, Lanes d, Lanes* sums) {
  const Lanes low[4] = {a + b, b - a, a - b, -(a + b)}, high[4] = {c + d, d - c, c - d, -(c + d)};
  for (int n = 0; n < 16; ++n) sums[n] = low[n & 3] + high[n >> 2];
}

/// out = scale (A (x) I) in over an (order, inner) array of lanes, A's order being 1 or a multiple of 4.
/// The sums of each four inputs are made once, and a row of A adds order / 4 of them. [Arlazarov et al. 1970, the method of four Russians]
void apply_signs(const Lanes* __restrict in, Lanes* __restrict out, int64_t inner, const SignGroups& a, float scale, Lanes* __restrict sums) {
  if (a.order == 1) {
    for (int64_t s = 0; s < inner; ++s) out[s] = in[s] * scale;
    return;
  }
  const int64_t groups = a.order / 4;
  for (int64_t s = 0; s < inner; ++s) {
    for (int64_t g = 0; g < groups; ++g) {
      const Lanes* x = in + 4 * g * inner + s;
      signed_sums(x[0], x[inner], x[2 * inner], x[3 * inner], sums + 16 * g);
    }
    for (int64_t i = 0; i < a.order; i += 4) {
      const uint8_t* bits = a.bits.data() + i * groups;
      Lanes rows[4] = {};
      for (int64_t g = 0; g < groups; ++g) {
        const Lanes* table = sums + 16 * g;
        rows[0] += table[bits[g]];
        rows[1] += table[bits[g + groups]];
        rows[2] += table[bits[g + 2 * groups]];
        rows[3] += table[bits[g + 3 * groups]];
      }
      for (int64_t n = 0; n < 4; ++n) out[(i + n) * inner + s] = rows[n] * scale;
    }
  }
}

/// A block with its matrix as this direction multiplies by it: A^T, or A for the inverse.
struct Rotation {
  int64_t start, size;
  const SignGroups& signs;
  float scale;
};

std::vector<Rotation> rotations(const std::vector<HadamardBlock>& blocks, bool inverse) {
  std::vector<Rotation> result;
  int64_t start = 0;
  for (const HadamardBlock& block : blocks) {
    const auto scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(block.size)));
    result.push_back({start, block.size, sign_groups(block.order, /*transposed=*/!inverse), scale});
    start += block.size;
  }
  return result;
}

/// Work memory of one task, aligned for lanes.
class Buffers {
 public:
  Buffers(const Rotation& r, int64_t count) : lanes_(static_cast<size_t>(2 * count + 4 * r.signs.order)), count_(count) {}
  Lanes* in() { return &lanes_.data()->lanes; }
  Lanes* out() { return in() + count_; }
  Lanes* sums() { return out() + count_; }

 private:
  struct Element {
    Lanes lanes;
  };
  std::vector<Element> lanes_;
  int64_t count_;
};

/// Columns that are rotated together: a cache line of float32.
constexpr int kWidth = 2;
constexpr int kColumns = kWidth * kLanes;

/// Rotates `rows` of `width` lanes from `in` into `out`.
template <int width>
void rotate_lanes(const Rotation& r, int64_t rows, Buffers& buffers) {
  const int64_t inner = rows / r.signs.order;
  for (int64_t j = 0; j < r.signs.order; ++j) transform_rows<width>(buffers.in() + j * inner * width, inner);
  apply_signs(buffers.in(), buffers.out(), inner * width, r.signs, r.scale, buffers.sums());
}

/// Rotates `count` <= kColumns vectors whose element i of vector v lies at x[i * step + v * stride].
template <class T>
void rotate_strided(const T* x, T* y, int64_t step, int64_t stride, int64_t count, const Rotation& r, Buffers& buffers) {
  auto* values = reinterpret_cast<float*>(buffers.in());
  for (int64_t i = 0; i < r.size; ++i) {
    for (int64_t v = 0; v < count; ++v) values[i * kColumns + v] = to_float(x[i * step + v * stride]);
    for (int64_t v = count; v < kColumns; ++v) values[i * kColumns + v] = 0;
  }
  rotate_lanes<kWidth>(r, r.size, buffers);
  values = reinterpret_cast<float*>(buffers.out());
  for (int64_t i = 0; i < r.size; ++i) {
    for (int64_t v = 0; v < count; ++v) y[i * step + v * stride] = from_float<T>(values[i * kColumns + v]);
  }
}

/// As rotate_strided for kColumns vectors that are neighbours in memory.
template <class T>
void rotate_columns(const T* x, T* y, int64_t step, const Rotation& r, Buffers& buffers) {
  auto* values = reinterpret_cast<float*>(buffers.in());
  for (int64_t i = 0; i < r.size; ++i) {
    for (int v = 0; v < kColumns; ++v) values[i * kColumns + v] = to_float(x[i * step + v]);
  }
  rotate_lanes<kWidth>(r, r.size, buffers);
  values = reinterpret_cast<float*>(buffers.out());
  for (int64_t i = 0; i < r.size; ++i) {
    for (int v = 0; v < kColumns; ++v) y[i * step + v] = from_float<T>(values[i * kColumns + v]);
  }
}

/// One vector that is contiguous in memory, its last levels within the lanes.
template <class T>
void rotate_contiguous(const T* x, T* y, const Rotation& r, Buffers& buffers) {
  auto* values = reinterpret_cast<float*>(buffers.in());
  for (int64_t i = 0; i < r.size; ++i) values[i] = to_float(x[i]);
  for (int64_t i = 0; i < r.size / kLanes; ++i) buffers.in()[i] = transform_lanes(buffers.in()[i]);
  rotate_lanes<1>(r, r.size / kLanes, buffers);
  values = reinterpret_cast<float*>(buffers.out());
  for (int64_t i = 0; i < r.size; ++i) y[i] = from_float<T>(values[i]);
}

template <class T>
void rotate_rows(const T* x, T* y, int64_t rows, int64_t columns, const Rotation& r, const Executor& executor) {
  const bool is_wide = (r.size / r.signs.order) % kLanes == 0;
  const int64_t grain = is_wide ? rows_per_task(columns) : std::max<int64_t>(kColumns, rows_per_task(columns) / kColumns * kColumns);
  executor.parallel_for(rows, grain, [&](int64_t begin, int64_t end) {
    Buffers buffers(r, is_wide ? r.size / kLanes : r.size * kWidth);
    for (int64_t row = begin; row < end; row += is_wide ? 1 : kColumns) {
      const int64_t at = row * columns + r.start;
      if (is_wide) {
        rotate_contiguous(x + at, y + at, r, buffers);
      } else {
        rotate_strided(x + at, y + at, 1, columns, std::min<int64_t>(kColumns, end - row), r, buffers);
      }
    }
  });
}

template <class T>
void rotate_all_columns(const T* x, T* y, int64_t columns, const Rotation& r, const Executor& executor) {
  executor.parallel_for(columns, kColumns, [&](int64_t begin, int64_t end) {
    Buffers buffers(r, r.size * kWidth);
    const int64_t at = r.start * columns + begin;
    if (end - begin == kColumns) {
      rotate_columns(x + at, y + at, columns, r, buffers);
    } else {
      rotate_strided(x + at, y + at, columns, 1, end - begin, r, buffers);
    }
  });
}

}  // namespace

template <class T>
void hadamard_transform_cpu(const T* x, T* y, int64_t rows, int64_t columns, int axis, const std::vector<HadamardBlock>& blocks, bool inverse,
                            const Executor& executor) {
  for (const Rotation& rotation : rotations(blocks, inverse)) {
    if (axis == 1) {
      rotate_rows(x, y, rows, columns, rotation, executor);
    } else {
      rotate_all_columns(x, y, columns, rotation, executor);
    }
  }
}

template void hadamard_transform_cpu(const float*, float*, int64_t, int64_t, int, const std::vector<HadamardBlock>&, bool, const Executor&);
template void hadamard_transform_cpu(const BFloat16*, BFloat16*, int64_t, int64_t, int, const std::vector<HadamardBlock>&, bool, const Executor&);
template void hadamard_transform_cpu(const Float16*, Float16*, int64_t, int64_t, int, const std::vector<HadamardBlock>&, bool, const Executor&);

}  // namespace halo
