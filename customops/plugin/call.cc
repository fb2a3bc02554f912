#include "plugin/call.h"

#include <map>
#include <mutex>
#include <stdexcept>
#include <string>
#include <tuple>

namespace halo {

const OrtApi* ort = nullptr;

void check(OrtStatus* status) {
  if (status == nullptr) return;
  const std::string message = ort->GetErrorMessage(status);
  ort->ReleaseStatus(status);
  throw std::runtime_error(message);
}

const OrtMemoryInfo* cpu_memory() {
  static OrtMemoryInfo* const info = [] {
    OrtMemoryInfo* made = nullptr;
    check(ort->CreateCpuMemoryInfo(OrtDeviceAllocator, OrtMemTypeDefault, &made));
    return made;
  }();
  return info;
}

namespace {

struct ValueDeleter {
  void operator()(OrtValue* value) const { ort->ReleaseValue(value); }
};

std::unique_ptr<OrtValue, ValueDeleter> wrap(const float* data, int64_t batch, int64_t rows, int64_t columns) {
  const int64_t sizes[] = {batch, rows, columns};
  OrtValue* value = nullptr;
  check(ort->CreateTensorWithDataAsOrtValue(cpu_memory(), const_cast<float*>(data), static_cast<size_t>(batch * rows * columns) * sizeof(float), sizes, 3,
                                            ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT, &value));
  return std::unique_ptr<OrtValue, ValueDeleter>(value);
}

}  // namespace

struct ProductCache::State {
  OrtKernelInfo* info = nullptr;
  std::mutex mutex;
  std::map<std::tuple<bool, bool, float>, OrtOp*> ops;
};

ProductCache::ProductCache(const OrtKernelInfo* info) : state_(std::make_unique<State>()) { check(ort->CopyKernelInfo(info, &state_->info)); }

ProductCache::~ProductCache() {
  for (const auto& [key, op] : state_->ops) ort->ReleaseOp(op);
  ort->ReleaseKernelInfo(state_->info);
}

const OrtOp* ProductCache::get(bool trans_a, bool trans_b, float alpha) {
  const std::lock_guard lock(state_->mutex);
  OrtOp*& op = state_->ops[{trans_a, trans_b, alpha}];
  if (op != nullptr) return op;
  const int64_t flags[] = {trans_a, trans_b};
  OrtOpAttr* attributes[3] = {};
  check(ort->CreateOpAttr("transA", &flags[0], 1, ORT_OP_ATTR_INT, &attributes[0]));
  check(ort->CreateOpAttr("transB", &flags[1], 1, ORT_OP_ATTR_INT, &attributes[1]));
  check(ort->CreateOpAttr("alpha", &alpha, 1, ORT_OP_ATTR_FLOAT, &attributes[2]));
  const char* names[] = {"T"};
  const ONNXTensorElementDataType types[] = {ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT};
  OrtStatus* status = ort->CreateOp(state_->info, "FusedMatMul", "com.microsoft", 1, names, types, 1, attributes, 3, 2, 1, &op);
  for (OrtOpAttr* attribute : attributes) ort->ReleaseOpAttr(attribute);
  check(status);
  return op;
}

const void* Call::input(int i) const {
  const OrtValue* value = nullptr;
  check(ort->KernelContext_GetInput(context_, static_cast<size_t>(i), &value));
  const void* data = nullptr;
  check(ort->GetTensorData(value, &data));
  return data;
}

void* Call::output(int i) {
  size_t count = 0;
  check(ort->KernelContext_GetOutputCount(context_, &count));
  if (static_cast<size_t>(i) >= count) return nullptr;
  const auto sizes = out(i).shape.sizes();
  OrtValue* value = nullptr;
  check(ort->KernelContext_GetOutput(context_, static_cast<size_t>(i), sizes.data(), sizes.size(), &value));
  if (value == nullptr) return nullptr;
  void* data = nullptr;
  check(ort->GetTensorMutableData(value, &data));
  return data;
}

void Call::run(int64_t count, void (*task)(void*, int64_t), void* context) const {
  struct Task {
    void (*task)(void*, int64_t);
    void* context;
  } wrapped{task, context};
  check(ort->KernelContext_ParallelFor(
      context_,
      [](void* opaque, size_t i) {
        const auto* t = static_cast<Task*>(opaque);
        t->task(t->context, static_cast<int64_t>(i));
      },
      static_cast<size_t>(count), 0, &wrapped));
}

void Call::multiply(bool trans_a, bool trans_b, float alpha, int64_t batch, int64_t m, int64_t n, int64_t k, const float* a, const float* b, float* y) const {
  const auto left = trans_a ? wrap(a, batch, k, m) : wrap(a, batch, m, k);
  const auto right = trans_b ? wrap(b, batch, n, k) : wrap(b, batch, k, n);
  const auto product = wrap(y, batch, m, n);
  const OrtValue* inputs[] = {left.get(), right.get()};
  OrtValue* outputs[] = {product.get()};
  check(ort->InvokeOp(context_, products_.get(trans_a, trans_b, alpha), inputs, 2, outputs, 1));
}

}  // namespace halo
