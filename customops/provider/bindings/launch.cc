#include "provider/bindings/launch.h"

#include <stdexcept>

#include "plugin/call.h"

namespace halo::cuda {

std::vector<int64_t> Tensor::integers() const {
  if (type == DType::kInt64) return std::vector<int64_t>(as<int64_t>(), as<int64_t>() + count());
  if (type == DType::kInt32) return std::vector<int64_t>(as<int32_t>(), as<int32_t>() + count());
  throw std::runtime_error(std::string("expected int64 or int32 numbers on the host, found ") + name_of(type) + ". Check the graph.");
}

int Launch::inputs_count() const {
  size_t count = 0;
  check(ort->KernelContext_GetInputCount(context_, &count));
  return static_cast<int>(count);
}

int Launch::outputs_count() const {
  size_t count = 0;
  check(ort->KernelContext_GetOutputCount(context_, &count));
  return static_cast<int>(count);
}

Tensor Launch::in(int i) const {
  if (i >= inputs_count()) return {};
  const OrtValue* value = nullptr;
  check(ort->KernelContext_GetInput(context_, static_cast<size_t>(i), &value));
  if (value == nullptr) return {};
  ONNXTensorElementDataType type = ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED;
  const int64_t* sizes = nullptr;
  size_t rank = 0;
  check(ort->GetTensorElementTypeAndShapeDataReference(value, &type, &sizes, &rank));
  if (rank > kMaxRank) {
    throw std::runtime_error("expected at most " + std::to_string(kMaxRank) + " axes, found " + std::to_string(rank) + ". Reshape the tensor.");
  }
  Tensor tensor{.type = static_cast<DType>(type), .dims = {.rank = static_cast<int>(rank)}};
  for (size_t axis = 0; axis < rank; ++axis) tensor.dims.sizes[axis] = sizes[axis];
  check(ort->GetTensorData(value, &tensor.data));
  return tensor;
}

void* Launch::out(int i, const Dims& dims) const {
  if (i >= outputs_count()) return nullptr;
  OrtValue* value = nullptr;
  check(ort->KernelContext_GetOutput(context_, static_cast<size_t>(i), dims.sizes, static_cast<size_t>(dims.rank), &value));
  if (value == nullptr) return nullptr;
  void* data = nullptr;
  check(ort->GetTensorMutableData(value, &data));
  return data;
}

}  // namespace halo::cuda
