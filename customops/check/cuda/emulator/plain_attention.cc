// Attention by plain loops in place of cuDNN's; there is one only where HALO_CUDNN is "plain loops", so that kernels of our own are seen otherwise.
#include <cmath>
#include <cstdlib>
#include <string_view>
#include <vector>

#include "plain_numbers.h"
#include "provider/cudnn/cudnn_attention.h"

namespace halo::cuda {

namespace {

using emulator::element;
using emulator::store;

/// Calls f(query, key, sum) with each pair of which the query sees the key: their rows of channels in Q and K, counted as these lie, and the query's place in
/// log_sum_exp.
template <class F>
void for_seen(const CudnnAttentionShape& shape, const CudnnAttentionBuffers& b, int64_t head, F&& f) {
  const AttentionSizes& s = shape.sizes;
  const HeadStrides by_query = s.query_strides(), by_key = s.key_strides();
  const int64_t batch = head / s.heads, group = head % s.heads / (s.heads / s.groups);
  const int64_t first_query = batch * by_query.batch + head % s.heads * by_query.head, first_key = batch * by_key.batch + group * by_key.head;
  const int64_t length = shape.has_lengths ? b.key_lengths[batch] : s.keys;
  for (int64_t query = 0; query < s.queries; ++query) {
    for (int64_t key = 0; key < length && (!shape.causal || key <= query); ++key) {
      f((first_query + query * by_query.token) / s.dim, (first_key + key * by_key.token) / s.dim, head * s.queries + query);
    }
  }
}

double dot(const CudnnAttentionShape& shape, const void* a, int64_t a_row, const void* b, int64_t b_row) {
  double sum = 0;
  const int64_t dim = shape.sizes.dim;
  for (int64_t d = 0; d < dim; ++d) sum += element(shape.type, a, a_row * dim + d) * element(shape.type, b, b_row * dim + d);
  return sum;
}

void add_row(const CudnnAttentionShape& shape, double weight, const void* x, int64_t row, std::vector<double>& sums, int64_t to) {
  const int64_t dim = shape.sizes.dim;
  for (int64_t d = 0; d < dim; ++d) sums[static_cast<size_t>(to * dim + d)] += weight * element(shape.type, x, row * dim + d);
}

void store_all(DType type, void* y, const std::vector<double>& values) {
  for (size_t i = 0; i < values.size(); ++i) store(type, y, static_cast<int64_t>(i), values[i]);
}

void attend(const CudnnAttentionShape& shape, const CudnnAttentionBuffers& b, float scale) {
  const AttentionSizes& s = shape.sizes;
  const int64_t rows = s.batch * s.heads * s.queries;
  std::vector<double> largest(static_cast<size_t>(rows), -INFINITY), total(static_cast<size_t>(rows)), y(static_cast<size_t>(rows * s.dim));
  for (int64_t head = 0; head < s.batch * s.heads; ++head) {
    const auto score = [&](int64_t query, int64_t key) { return static_cast<double>(scale) * dot(shape, b.q, query, b.k, key); };
    for_seen(shape, b, head, [&](int64_t query, int64_t key, int64_t sum) {
      double& most = largest[static_cast<size_t>(sum)];
      most = std::fmax(most, score(query, key));
    });
    const auto weight = [&](int64_t query, int64_t key, int64_t sum) { return std::exp(score(query, key) - largest[static_cast<size_t>(sum)]); };
    for_seen(shape, b, head, [&](int64_t query, int64_t key, int64_t sum) { total[static_cast<size_t>(sum)] += weight(query, key, sum); });
    for_seen(shape, b, head,
             [&](int64_t query, int64_t key, int64_t sum) { add_row(shape, weight(query, key, sum) / total[static_cast<size_t>(sum)], b.v, key, y, query); });
  }
  for (size_t row = 0; row < total.size(); ++row) b.log_sum_exp[row] = static_cast<float>(largest[row] + std::log(total[row]));
  store_all(shape.type, b.y, y);
}

void differentiate(const CudnnAttentionShape& shape, const CudnnAttentionBuffers& b, float scale) {
  const AttentionSizes& s = shape.sizes;
  const int64_t queries = s.batch * s.heads * s.queries * s.dim, keys = s.pairs() * s.keys * s.dim;
  std::vector<double> dq(static_cast<size_t>(queries)), dk(static_cast<size_t>(keys)), dv(static_cast<size_t>(keys));
  for (int64_t head = 0; head < s.batch * s.heads; ++head) {
    for_seen(shape, b, head, [&](int64_t query, int64_t key, int64_t sum) {
      const double p = std::exp(static_cast<double>(scale) * dot(shape, b.q, query, b.k, key) - static_cast<double>(b.log_sum_exp[sum]));
      const double ds = static_cast<double>(scale) * p * (dot(shape, b.dy, query, b.v, key) - dot(shape, b.dy, query, b.y, query));
      add_row(shape, ds, b.k, key, dq, query);
      add_row(shape, ds, b.q, query, dk, key);
      add_row(shape, p, b.dy, query, dv, key);
    });
  }
  store_all(shape.type, b.dq, dq);
  store_all(shape.type, b.dk, dk);
  store_all(shape.type, b.dv, dv);
}

}  // namespace

struct CudnnAttention::State {};
CudnnAttention::CudnnAttention() = default;
CudnnAttention::~CudnnAttention() = default;

Status CudnnAttention::open() {
  const char* named = std::getenv("HALO_CUDNN");
  HALO_REQUIRE(named != nullptr && std::string_view(named) == "plain loops", "cuDNN", "an emulated GPU", "Set HALO_CUDNN to plain loops.");
  return {};
}

std::string CudnnAttention::path() const { return "plain loops"; }
std::string CudnnAttention::version() const { return "0"; }

Status CudnnAttention::workspace(const CudnnAttentionShape&, bool, int64_t* bytes) {
  *bytes = 0;
  return open();
}

Status CudnnAttention::forward(const CudnnAttentionShape& shape, const CudnnAttentionBuffers& b, float scale, void*, cudaStream_t) {
  return HALO_CUDA_STATUS(emulator::carry_out([=] { attend(shape, b, scale); }));
}

Status CudnnAttention::gradient(const CudnnAttentionShape& shape, const CudnnAttentionBuffers& b, float scale, void*, cudaStream_t) {
  return HALO_CUDA_STATUS(emulator::carry_out([=] { differentiate(shape, b, scale); }));
}

}  // namespace halo::cuda
