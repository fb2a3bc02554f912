#include "ops/hadamard_transform/hadamard_transform.h"

#include <algorithm>
#include <cmath>

#include "common/dtype.h"

namespace halo {

namespace {

constexpr int kLanes = 16;
constexpr int kLog2Lanes = 4;

/// 16 independent vectors side by side, or 16 neighbours of one vector.
typedef float Lanes __attribute__((vector_size(kLanes * sizeof(float))));
typedef int32_t LaneIndex __attribute__((vector_size(kLanes * sizeof(int32_t))));

/// Walsh-Hadamard over the rows t[0..length), unscaled; two levels at a time, so that each row is read and written log2(length) / 2 times.
void transform_rows(Lanes* t, int64_t length) {
  if (length == 1) return;
  if (length == 2) {
    const Lanes a = t[0], b = t[1];
    t[0] = a + b;
    t[1] = a - b;
    return;
  }
  const int64_t quarter = length / 4;
  for (int64_t i = 0; i < quarter; ++i) {
    const Lanes a = t[i], b = t[i + quarter], c = t[i + 2 * quarter], d = t[i + 3 * quarter];
    const Lanes ac = a + c, a_c = a - c, bd = b + d, b_d = b - d;
    t[i] = ac + bd;
    t[i + quarter] = ac - bd;
    t[i + 2 * quarter] = a_c + b_d;
    t[i + 3 * quarter] = a_c - b_d;
  }
  for (int64_t q = 0; q < 4; ++q) transform_rows(t + q * quarter, quarter);
}

/// Walsh-Hadamard within the 16 lanes.
inline Lanes transform_lanes(Lanes x) {
  x = Lanes{1, -1, 1, -1, 1, -1, 1, -1, 1, -1, 1, -1, 1, -1, 1, -1} * x + __builtin_shuffle(x, LaneIndex{1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 13, 12, 15, 14});
  x = Lanes{1, 1, -1, -1, 1, 1, -1, -1, 1, 1, -1, -1, 1, 1, -1, -1} * x + __builtin_shuffle(x, LaneIndex{2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13});
  x = Lanes{1, 1, 1, 1, -1, -1, -1, -1, 1, 1, 1, 1, -1, -1, -1, -1} * x + __builtin_shuffle(x, LaneIndex{4, 5, 6, 7, 0, 1, 2, 3, 12, 13, 14, 15, 8, 9, 10, 11});
  x = Lanes{1, 1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1, -1, -1, -1, -1} * x + __builtin_shuffle(x, LaneIndex{8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7});
  return x;
}

/// out = scale (A (x) I) in over an (order, inner) array of lanes; `signs` is A as it multiplies from the left, its order 1 or a multiple of 4.
void apply_signs(const Lanes* in, Lanes* out, int64_t order, int64_t inner, const float* signs, float scale) {
  if (order == 1) {
    for (int64_t s = 0; s < inner; ++s) out[s] = in[s] * scale;
    return;
  }
  for (int64_t s = 0; s < inner; ++s) {
    for (int64_t i = 0; i < order; i += 4) {
      Lanes sums[4] = {};
      const float* row = signs + i * order;
      for (int64_t j = 0; j < order; ++j) {
        const Lanes v = in[j * inner + s];
        sums[0] += v * row[j];
        sums[1] += v * row[j + order];
        sums[2] += v * row[j + 2 * order];
        sums[3] += v * row[j + 3 * order];
      }
      for (int64_t n = 0; n < 4; ++n) out[(i + n) * inner + s] = sums[n] * scale;
    }
  }
}

/// A block with its matrix as this direction multiplies by it: A^T, or A for the inverse.
struct Rotation {
  int64_t start, size, order;
  int log2;
  std::vector<float> signs;
  float scale;
};

std::vector<Rotation> rotations(const std::vector<HadamardBlock>& blocks, bool inverse) {
  std::vector<Rotation> result;
  int64_t start = 0;
  for (const HadamardBlock& block : blocks) {
    Rotation rotation{start, block.size, block.order, block.log2, block.signs, static_cast<float>(1.0 / std::sqrt(static_cast<double>(block.size)))};
    for (int64_t i = 0; !inverse && i < block.order; ++i) {
      for (int64_t j = 0; j < block.order; ++j) {
        rotation.signs[static_cast<size_t>(i * block.order + j)] = block.signs[static_cast<size_t>(j * block.order + i)];
      }
    }
    result.push_back(std::move(rotation));
    start += block.size;
  }
  return result;
}

/// Rotates `count` <= 16 vectors whose element i of vector v lies at x[i * step + v * stride].
template <class T>
void rotate_strided(const T* x, T* y, int64_t step, int64_t stride, int64_t count, const Rotation& r, Lanes* in, Lanes* out) {
  for (int64_t i = 0; i < r.size; ++i) {
    Lanes lanes = {};
    for (int64_t v = 0; v < count; ++v) lanes[v] = to_float(x[i * step + v * stride]);
    in[i] = lanes;
  }
  const int64_t inner = r.size / r.order;
  for (int64_t j = 0; j < r.order; ++j) transform_rows(in + j * inner, inner);
  apply_signs(in, out, r.order, inner, r.signs.data(), r.scale);
  for (int64_t i = 0; i < r.size; ++i) {
    for (int64_t v = 0; v < count; ++v) y[i * step + v * stride] = from_float<T>(out[i][v]);
  }
}

/// As rotate_strided for 16 vectors that are neighbours in memory (stride 1).
template <class T>
void rotate_columns(const T* x, T* y, int64_t step, const Rotation& r, Lanes* in, Lanes* out) {
  for (int64_t i = 0; i < r.size; ++i) {
    float row[kLanes];
    for (int v = 0; v < kLanes; ++v) row[v] = to_float(x[i * step + v]);
    __builtin_memcpy(&in[i], row, sizeof row);
  }
  const int64_t inner = r.size / r.order;
  for (int64_t j = 0; j < r.order; ++j) transform_rows(in + j * inner, inner);
  apply_signs(in, out, r.order, inner, r.signs.data(), r.scale);
  for (int64_t i = 0; i < r.size; ++i) {
    float row[kLanes];
    __builtin_memcpy(row, &out[i], sizeof row);
    for (int v = 0; v < kLanes; ++v) y[i * step + v] = from_float<T>(row[v]);
  }
}

/// One vector that is contiguous in memory, its last four levels within the lanes.
template <class T>
void rotate_contiguous(const T* x, T* y, const Rotation& r, Lanes* in, Lanes* out) {
  const int64_t inner = r.size / r.order / kLanes;
  for (int64_t i = 0; i < r.size / kLanes; ++i) {
    float row[kLanes];
    for (int v = 0; v < kLanes; ++v) row[v] = to_float(x[i * kLanes + v]);
    Lanes lanes;
    __builtin_memcpy(&lanes, row, sizeof row);
    in[i] = transform_lanes(lanes);
  }
  for (int64_t j = 0; j < r.order; ++j) transform_rows(in + j * inner, inner);
  apply_signs(in, out, r.order, inner, r.signs.data(), r.scale);
  for (int64_t i = 0; i < r.size / kLanes; ++i) {
    float row[kLanes];
    __builtin_memcpy(row, &out[i], sizeof row);
    for (int v = 0; v < kLanes; ++v) y[i * kLanes + v] = from_float<T>(row[v]);
  }
}

/// Work memory of one task, aligned for lanes.
struct Buffers {
  explicit Buffers(int64_t size) : in(static_cast<size_t>(size)), out(static_cast<size_t>(size)) {}
  std::vector<Lanes> in, out;
};

template <class T>
void rotate_rows(const T* x, T* y, int64_t rows, int64_t columns, const Rotation& r, const Executor& executor) {
  const bool is_wide = r.log2 >= kLog2Lanes;
  const int64_t grain = is_wide ? rows_per_task(columns) : std::max<int64_t>(kLanes, rows_per_task(columns) / kLanes * kLanes);
  executor.parallel_for(rows, grain, [&](int64_t begin, int64_t end) {
    Buffers buffers(is_wide ? r.size / kLanes : r.size);
    for (int64_t row = begin; row < end; row += is_wide ? 1 : kLanes) {
      const int64_t at = row * columns + r.start;
      if (is_wide) {
        rotate_contiguous(x + at, y + at, r, buffers.in.data(), buffers.out.data());
      } else {
        rotate_strided(x + at, y + at, 1, columns, std::min<int64_t>(kLanes, end - row), r, buffers.in.data(), buffers.out.data());
      }
    }
  });
}

template <class T>
void rotate_all_columns(const T* x, T* y, int64_t columns, const Rotation& r, const Executor& executor) {
  executor.parallel_for(columns, kLanes, [&](int64_t begin, int64_t end) {
    Buffers buffers(r.size);
    const int64_t at = r.start * columns + begin;
    if (end - begin == kLanes) {
      rotate_columns(x + at, y + at, columns, r, buffers.in.data(), buffers.out.data());
    } else {
      rotate_strided(x + at, y + at, columns, 1, end - begin, r, buffers.in.data(), buffers.out.data());
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
