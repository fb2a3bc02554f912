#include "ops/scaled_mat_mul/scaled_mat_mul.h"

#include "common/codes.h"

namespace halo {

namespace {

Status decode(const QuantizedMatrix& matrix, float* values, int64_t count, const Executor& executor) {
  return dispatch_codes(matrix.type, [&]<class Format>() {
    executor.parallel_for(count, kGrain, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) values[i] = Format::decode(matrix.codes[i]);
    });
  });
}

}  // namespace

Status scaled_mat_mul_cpu(const QuantizedMatrix& a, const QuantizedMatrix& b, float* y, bool trans_a, bool trans_b, int64_t m, int64_t n, int64_t k,
                          float* decoded, const Products& products, const Executor& executor) {
  HALO_RETURN_IF_ERROR(decode(a, decoded, m * k, executor));
  HALO_RETURN_IF_ERROR(decode(b, decoded + m * k, k * n, executor));
  products.multiply(trans_a, trans_b, 1.0f, 1, m, n, k, decoded, decoded + m * k, y);
  const float scale = *a.scale * *b.scale;
  executor.parallel_for(m * n, kGrain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) y[i] *= scale;
  });
  return {};
}

template <class T>
void add_cpu(float* y, const T* addend, int64_t count, const Executor& executor) {
  executor.parallel_for(count, kGrain, [=](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) y[i] += to_float(addend[i]);
  });
}

template void add_cpu(float*, const float*, int64_t, const Executor&);
template void add_cpu(float*, const BFloat16*, int64_t, const Executor&);
template void add_cpu(float*, const Float16*, int64_t, const Executor&);

}  // namespace halo
