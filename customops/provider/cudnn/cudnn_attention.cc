#include "provider/cudnn/cudnn_attention.h"

#include <algorithm>
#include <limits>
#include <map>
#include <optional>
#include <vector>

#include "provider/cudnn/attention_graphs.h"

namespace halo::cuda {

namespace {

using cudnn::AttentionGraphSizes;

/// The largest divisor of n that is at most `most`, at least 1.
int64_t divisor(int64_t n, int64_t most) {
  int64_t d = std::clamp<int64_t>(most, 1, n);
  while (n % d != 0) --d;
  return d;
}

/// What one run of a plan takes: whole batch rows, or some of the key/value heads of one.
struct Slice {
  AttentionGraphSizes sizes;
  int64_t pairs;  // of batch row and key/value head
};

Slice slice_of(const CudnnAttentionShape& shape, bool is_gradient) {
  const AttentionSizes& s = shape.sizes;
  const int64_t shared = s.heads / s.groups, by_query = shared * s.queries * s.dim;
  int64_t most = std::numeric_limits<int32_t>::max() / std::max(by_query, s.keys * s.dim);  // engines count elements in 32 bits
  // Gradients of scores, and those of keys and values by head.
  if (is_gradient) most = std::min(most, CudnnAttention::kWorkspaceBound / (2 * shared * s.keys * (s.queries + 2 * s.dim)));
  const int64_t groups = most >= s.groups ? s.groups : divisor(s.groups, most), rows = most >= s.groups ? divisor(s.batch, most / s.groups) : 1;
  return {.sizes = {.type = shape.type == DType::kBFloat16 ? cudnn::kBFloat16 : cudnn::kHalf,
                    .batch = rows,
                    .heads = groups * shared,
                    .groups = groups,
                    .queries = s.queries,
                    .keys = s.keys,
                    .dim = s.dim,
                    .causal = shape.causal,
                    .has_lengths = shape.has_lengths,
                    .query_strides = s.query_strides(),
                    .key_strides = s.key_strides()},
          .pairs = rows * groups};
}

struct Key {
  AttentionGraphSizes sizes;
  bool is_gradient;
  auto operator<=>(const Key&) const = default;
};

struct Prepared {
  cudnn::AttentionTensors tensors;
  std::unique_ptr<cudnn::Plan> plan;
};

template <class T>
T* moved(T* base, int64_t bytes) {
  return base == nullptr ? nullptr : reinterpret_cast<T*>(reinterpret_cast<uintptr_t>(base) + static_cast<uintptr_t>(bytes));
}

}  // namespace

struct CudnnAttention::State {
  cudnn::Library library;
  std::optional<Status> opened;  // looked for once: nodes ask at each run
  std::map<Key, Prepared> plans;

  Status open() {
    if (!opened) opened = library.open();
    return *opened;
  }

  Status find(const AttentionGraphSizes& sizes, bool is_gradient, const Prepared** found) {
    HALO_RETURN_IF_ERROR(open());
    Prepared& prepared = plans[{sizes, is_gradient}];
    if (prepared.plan == nullptr) {
      cudnn::GraphBuilder graph(library);
      prepared.tensors = is_gradient ? build_attention_gradient(graph, sizes) : build_attention(graph, sizes);
      HALO_RETURN_IF_ERROR(cudnn::Plan::make(library, graph, &prepared.plan));
    }
    *found = &prepared;
    return {};
  }

  Status run(const CudnnAttentionShape& shape, bool is_gradient, const CudnnAttentionBuffers& b, float scale, void* workspace, cudaStream_t stream) {
    const AttentionSizes& s = shape.sizes;
    const Slice slice = slice_of(shape, is_gradient);
    const Prepared* prepared = nullptr;
    HALO_RETURN_IF_ERROR(find(slice.sizes, is_gradient, &prepared));
    constexpr int64_t kElement = 2;
    const HeadStrides query = s.query_strides(), key = s.key_strides();
    const int64_t by_row = s.rows() * static_cast<int64_t>(sizeof(float));
    for (int64_t pair = 0; pair < s.pairs(); pair += slice.pairs) {
      const int64_t batch = pair / s.groups, group = pair % s.groups, lengths = batch * static_cast<int64_t>(sizeof(int32_t));
      const int64_t to_query = (batch * query.batch + group * (s.heads / s.groups) * query.head) * kElement;
      const int64_t to_key = (batch * key.batch + group * key.head) * kElement;
      CudnnAttentionBuffers part = b;
      for (const void** x : {&part.q, &part.dy}) *x = moved(*x, to_query);
      for (void** x : {&part.y, &part.dq}) *x = moved(*x, to_query);
      for (const void** x : {&part.k, &part.v}) *x = moved(*x, to_key);
      for (void** x : {&part.dk, &part.dv}) *x = moved(*x, to_key);
      for (float** x : {&part.log_sum_exp, &part.delta}) *x = moved(*x, pair * by_row);
      for (const int32_t** x : {&part.query_lengths, &part.key_lengths}) *x = moved(*x, lengths);
      HALO_RETURN_IF_ERROR(run(*prepared, part, scale, workspace, stream));
    }
    return {};
  }

  static Status run(const Prepared& prepared, const CudnnAttentionBuffers& b, float scale, void* workspace, cudaStream_t stream) {
    float hidden = -std::numeric_limits<float>::infinity(), unit = 1.0f;
    const cudnn::AttentionTensors& t = prepared.tensors;
    std::vector<int64_t> ids;
    std::vector<void*> pointers;
    const auto give = [&](const cudnn::GraphTensor& tensor, const void* data) {
      if (!tensor.is_there()) return;
      ids.push_back(tensor.id);
      pointers.push_back(const_cast<void*>(data));
    };
    give(t.q, b.q);
    give(t.k, b.k);
    give(t.v, b.v);
    give(t.y, b.y);
    give(t.log_sum_exp, b.log_sum_exp);
    give(t.scale, &scale);
    give(t.hidden, &hidden);
    give(t.query_lengths, b.query_lengths);
    give(t.key_lengths, b.key_lengths);
    give(t.dy, b.dy);
    give(t.dq, b.dq);
    give(t.dk, b.dk);
    give(t.dv, b.dv);
    give(t.unit, &unit);
    give(t.delta, b.delta);
    return prepared.plan->run(ids, pointers, workspace, stream);
  }
};

CudnnAttention::CudnnAttention() : state_(std::make_unique<State>()) {}
CudnnAttention::~CudnnAttention() = default;

Status CudnnAttention::open() {
  const std::lock_guard lock(mutex_);
  return state_->open();
}

std::string CudnnAttention::path() const {
  const std::lock_guard lock(mutex_);
  return state_->library.path();
}

std::string CudnnAttention::version() const {
  const std::lock_guard lock(mutex_);
  return state_->library.version();
}

Status CudnnAttention::workspace(const CudnnAttentionShape& shape, bool is_gradient, int64_t* bytes) {
  const std::lock_guard lock(mutex_);
  const Prepared* prepared = nullptr;
  HALO_RETURN_IF_ERROR(state_->find(slice_of(shape, is_gradient).sizes, is_gradient, &prepared));
  *bytes = prepared->plan->workspace_bytes();
  return {};
}

Status CudnnAttention::forward(const CudnnAttentionShape& shape, const CudnnAttentionBuffers& buffers, float scale, void* workspace, cudaStream_t stream) {
  const std::lock_guard lock(mutex_);
  return state_->run(shape, false, buffers, scale, workspace, stream);
}

Status CudnnAttention::gradient(const CudnnAttentionShape& shape, const CudnnAttentionBuffers& buffers, float scale, void* workspace, cudaStream_t stream) {
  const std::lock_guard lock(mutex_);
  return state_->run(shape, true, buffers, scale, workspace, stream);
}

}  // namespace halo::cuda
