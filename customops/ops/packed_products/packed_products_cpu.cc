#include <algorithm>

#include "common/vector_math.h"
#include "ops/packed_products/packed_products.h"

namespace halo {

namespace {

int field(const uint8_t* bytes, int64_t index, int64_t bits) { return bytes[index * bits / 8] >> (index * bits % 8) & ((1 << bits) - 1); }

/// Column n of a w^T + bias for one row of A.
template <class T>
float column(const T* a, const PackedFactors& f, const PackedFactor& w, int64_t n) {
  float sum = 0;
  for (int64_t block = 0; block < f.blocks(); ++block) {
    const int64_t first = block * f.block, count = std::min(f.block, f.k - first);
    const uint8_t* codes = w.codes + (n * f.blocks() + block) * (f.block * f.bits / 8);
    const int zero = w.zeros == nullptr ? 1 << (f.bits - 1) : field(w.zeros + n * f.zero_bytes(), block, f.bits);
    float part = 0;
    for (int64_t i = 0; i < count; ++i) part += to_float(a[first + i]) * static_cast<float>(field(codes, i, f.bits) - zero);
    sum += to_float(static_cast<const T*>(w.scales)[n * f.blocks() + block]) * part;
  }
  return w.bias == nullptr ? sum : sum + to_float(static_cast<const T*>(w.bias)[n]);
}

}  // namespace

template <class T>
void packed_products_cpu(const T* a, int64_t rows, const PackedFactors& factors, T* y, const Executor& executor) {
  const int64_t columns = factors.columns();
  executor.parallel_for(rows * columns, 16, [=](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const T* row = a + i / columns * factors.k;
      int64_t n = i % columns;
      if (factors.is_gated) {
        const float gate = column(row, factors, factors.all[0], n);
        y[i] = from_float<T>(gate * fast_sigmoid(gate) * column(row, factors, factors.all[1], n));
        continue;
      }
      size_t f = 0;
      for (; n >= factors.all[f].n; ++f) n -= factors.all[f].n;
      y[i] = from_float<T>(column(row, factors, factors.all[f], n));
    }
  });
}

template void packed_products_cpu(const float*, int64_t, const PackedFactors&, float*, const Executor&);
template void packed_products_cpu(const BFloat16*, int64_t, const PackedFactors&, BFloat16*, const Executor&);
template void packed_products_cpu(const Float16*, int64_t, const PackedFactors&, Float16*, const Executor&);

}  // namespace halo
