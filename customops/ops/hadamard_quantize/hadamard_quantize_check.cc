#include "ops/hadamard_quantize/hadamard_quantize.h"

#include <cmath>
#include <cstring>
#include <limits>

#include "check/check.h"
#include "common/absolute_max.h"
#include "common/codes.h"
#include "common/hadamard_matrix.h"
#include "ops/quantize/quantize.h"

namespace halo::check::hadamard_quantize {

namespace {

/// The two operators, one after the other, in one piece of work.
template <class Format, class T>
void check_codes(const std::vector<int64_t>& sizes, int64_t others, int axis, bool inverse, float special) {
  std::vector<HadamardBlock> blocks;
  int64_t n = 0;
  for (const int64_t size : sizes) {
    const HadamardOrder found = hadamard_order(size);
    blocks.push_back({.size = size, .order = found.order, .log2 = found.log2});
    n += size;
  }
  const int64_t rows = axis == 1 ? others : n, columns = axis == 1 ? n : others, count = rows * columns;
  auto values = normal(count, static_cast<uint32_t>(n));
  if (special != 0) values[values.size() / 2] = special;
  std::vector<T> x(values.size()), rotated(values.size());
  for (size_t i = 0; i < x.size(); ++i) x[i] = from_float<T>(values[i]);
  const std::string what = std::string(Format::kName) + " " + std::to_string(rows) + " x " + std::to_string(columns) + " axis " + std::to_string(axis);

  const SerialExecutor serial;
  std::vector<uint8_t> codes(x.size()), turned(x.size());
  float absmax = 0, scale = 0;
  hadamard_transform_cpu(x.data(), rotated.data(), rows, columns, axis, blocks, inverse, serial);
  absolute_max_cpu(rotated.data(), count, &absmax, serial);
  quantize_cpu<Format>(rotated.data(), &absmax, codes.data(), &scale, count, nullptr, serial);
  transpose_codes_cpu(codes.data(), turned.data(), rows, columns, serial);

  Guarded<T> work(count);
  for (const bool is_both : {false, true}) {
    Guarded<uint8_t> found(count), other(count);
    float found_scale = 0;
    hadamard_quantize_cpu<Format>(x.data(), work.data(), found.data(), is_both ? other.data() : nullptr, &found_scale, rows, columns, axis, blocks, inverse,
                                  ThreadedExecutor());
    expect(work.intact() && found.intact() && other.intact(), what + ": wrote outside");
    expect(std::memcmp(&found_scale, &scale, sizeof(scale)) == 0, what + ": scale");
    expect(std::equal(codes.begin(), codes.end(), found.data()), what + ": codes");
    expect(!is_both || std::equal(turned.begin(), turned.end(), other.data()), what + ": transposed codes");
  }
}

template <class Format>
void check_format() {
  for (const int axis : {0, 1}) {
    check_codes<Format, float>({64}, 5, axis, false, 0);
    check_codes<Format, float>({172, 20}, 19, axis, true, 0);
    check_codes<Format, BFloat16>({256, 256}, 130, axis, false, 0);
    check_codes<Format, Float16>({704}, 7, axis, true, 0);
    check_codes<Format, BFloat16>({1024}, 3, axis, false, std::numeric_limits<float>::quiet_NaN());
    check_codes<Format, Float16>({512}, 3, axis, false, std::numeric_limits<float>::infinity());
  }
}

}  // namespace

HALO_CHECK(codes_of_rotated_matrices_are_those_of_two_operators) {
  check_format<E4M3>();
  check_format<E5M2>();
  check_format<E3M2>();
  check_format<Int8>();
}

}  // namespace halo::check::hadamard_quantize
