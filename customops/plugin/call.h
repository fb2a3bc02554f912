// One run of a node, as an operator's binding sees it.
#pragma once

#include <onnxruntime_c_api.h>

#include <memory>
#include <vector>

#include "common/executor.h"
#include "common/products.h"
#include "common/shape.h"

namespace halo {

/// ONNX Runtime's function table; set once, before any operator is used.
extern const OrtApi* ort;

/// A status of ONNX Runtime as an exception, which the entry points turn back into a status.
void check(OrtStatus* status);

/// Memory of the host, as ONNX Runtime calls it.
const OrtMemoryInfo* cpu_memory();

/// The session's allocator of one kind of memory, for one run of a node.
class RunAllocator {
 public:
  RunAllocator(const OrtKernelContext* context, const OrtMemoryInfo* memory) { check(ort->KernelContext_GetAllocator(context, memory, &allocator_)); }
  ~RunAllocator() { ort->ReleaseAllocator(allocator_); }
  RunAllocator(const RunAllocator&) = delete;
  RunAllocator& operator=(const RunAllocator&) = delete;

  void* allocate(int64_t bytes) const {
    void* block = nullptr;
    check(ort->AllocatorAlloc(allocator_, static_cast<size_t>(std::max<int64_t>(1, bytes)), &block));
    return block;
  }
  void free(void* block) const noexcept { ort->ReleaseStatus(ort->AllocatorFree(allocator_, block)); }

 private:
  OrtAllocator* allocator_ = nullptr;
};

/// Work memory on the host from the session's allocator.
template <class T>
class Scratch {
 public:
  Scratch(const OrtKernelContext* context, int64_t count)
      : allocator_(context, cpu_memory()), data_(allocator_.allocate(count * static_cast<int64_t>(sizeof(T)))) {}
  ~Scratch() { allocator_.free(data_); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  T* data() const { return static_cast<T*>(data_); }

 private:
  RunAllocator allocator_;
  void* data_;
};

/// ONNX Runtime's own FusedMatMul, made at first use for each pair of transpose flags and factor.
class ProductCache {
 public:
  explicit ProductCache(const OrtKernelInfo* info);
  ~ProductCache();
  ProductCache(const ProductCache&) = delete;
  ProductCache& operator=(const ProductCache&) = delete;
  const OrtOp* get(bool trans_a, bool trans_b, float alpha);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

class Call final : public Executor, public Products {
 public:
  /// The types live as long as the call.
  Call(OrtKernelContext* context, ProductCache& products, Types in, Types out) : context_(context), products_(products), in_(in), out_(out) {}

  const TensorType& in(int i) const { return in_[static_cast<size_t>(i)]; }
  const TensorType& out(int i) const { return out_[static_cast<size_t>(i)]; }
  bool has(int i) const { return static_cast<size_t>(i) < in_.size() && in(i).present; }

  /// Null for an input that is left out.
  template <class T>
  const T* data(int i) const {
    return has(i) ? static_cast<const T*>(input(i)) : nullptr;
  }

  /// Null for an output that nobody asked for. Allocated at the first call.
  template <class T>
  T* result(int i) {
    return static_cast<T*>(output(i));
  }

  template <class T>
  Scratch<T> scratch(int64_t count) const {
    return Scratch<T>(context_, count);
  }

  void run(int64_t count, void (*task)(void*, int64_t), void* context) const override;
  void multiply(bool trans_a, bool trans_b, float alpha, int64_t batch, int64_t m, int64_t n, int64_t k, const float* a, const float* b,
                float* y) const override;

 private:
  const void* input(int i) const;
  void* output(int i);

  OrtKernelContext* context_;
  ProductCache& products_;
  Types in_, out_;
};

}  // namespace halo
