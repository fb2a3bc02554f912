// Which nodes of a graph the provider takes.
#include <mutex>
#include <vector>

#include "plugin/op.h"
#include "provider/bindings/kernel.h"
#include "provider/runtime/ep.h"
#include "provider/runtime/guard.h"

namespace halo::cuda {

namespace {

std::mutex unclaimed_mutex;
std::string unclaimed;

/// Attributes of a node of the graph.
class GraphNodeAttributes final : public OpAttributes {
 public:
  explicit GraphNodeAttributes(const OrtNode* node) : node_(node) {}

 protected:
  const OrtOpAttr* find(const char* name) const override {
    const OrtOpAttr* attribute = nullptr;
    OrtStatus* status = ort->Node_GetAttributeByName(node_, name, &attribute);
    if (status == nullptr) return attribute;
    ort->ReleaseStatus(status);  // missing
    return nullptr;
  }

 private:
  const OrtNode* node_;
};

DType type_of(const OrtValueInfo* value) {
  if (value == nullptr) return DType::kUndefined;
  const OrtTypeInfo* type = nullptr;
  check(ort->GetValueInfoTypeInfo(value, &type));
  const OrtTensorTypeAndShapeInfo* tensor = nullptr;
  check(ort->CastTypeInfoToTensorInfo(type, &tensor));
  if (tensor == nullptr) return DType::kUndefined;
  ONNXTensorElementDataType element = ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED;
  check(ort->GetTensorElementType(tensor, &element));
  return static_cast<DType>(element);
}

template <class Count, class Get>
std::vector<DType> types_of(const OrtNode* node, Count count_of, Get get) {
  size_t count = 0;
  check(count_of(node, &count));
  std::vector<const OrtValueInfo*> values(count);
  check(get(node, values.data(), count));
  std::vector<DType> types;
  for (const OrtValueInfo* value : values) types.push_back(type_of(value));
  return types;
}

std::string described(const NodeFacts& node) {
  std::string text;
  for (const DType type : node.in) text += (text.empty() ? "" : ", ") + std::string(type == DType::kUndefined ? "-" : name_of(type));
  return text;
}

/// "" where the node was claimed, else why not.
std::string claim(const OrtNode* node, const char* domain, const char* type, OrtEpGraphSupportInfo* info) {
  const KernelEntry* entry = find_kernel(domain, type);
  if (entry == nullptr) return "no kernel";
  const GraphNodeAttributes attributes(node);
  const NodeFacts facts{attributes, types_of(node, ort->Node_GetNumInputs, ort->Node_GetInputs), types_of(node, ort->Node_GetNumOutputs, ort->Node_GetOutputs)};
  if (!entry->supports(facts)) return "no kernel for inputs of type " + described(facts) + " and its attributes";
  const OrtKernelDef* definition = nullptr;
  check(ort->GetEpApi()->EpGraphSupportInfo_LookUpKernel(info, node, &definition));
  if (definition == nullptr) return "no kernel that ONNX Runtime matches";
  check(ort->GetEpApi()->EpGraphSupportInfo_AddSingleNode(info, node));
  return "";
}

}  // namespace

Status claim_nodes(const OrtGraph* graph, OrtEpGraphSupportInfo* info) {
  size_t count = 0;
  check(ort->Graph_GetNumNodes(graph, &count));
  std::vector<const OrtNode*> nodes(count);
  check(ort->Graph_GetNodes(graph, nodes.data(), count));
  std::string left;  // of this call alone: ONNX Runtime asks again once it has expanded functions
  for (const OrtNode* node : nodes) {
    const char *name = "", *domain = "", *type = "", *taken_by = nullptr;
    check(ort->Node_GetEpName(node, &taken_by));
    if (taken_by != nullptr && *taken_by != '\0' && std::string_view(taken_by) != kProviderName) continue;
    check(ort->Node_GetName(node, &name));
    check(ort->Node_GetDomain(node, &domain));
    check(ort->Node_GetOperatorType(node, &type));
    const std::string why = claim(node, domain, type, info);
    if (!why.empty()) left += "node\t'" + std::string(name) + "' (" + (*domain == '\0' ? "" : std::string(domain) + ".") + type + "): " + why + "\n";
  }
  const std::lock_guard lock(unclaimed_mutex);
  unclaimed = left;
  return {};
}

std::string take_unclaimed() {
  const std::lock_guard lock(unclaimed_mutex);
  std::string text;
  text.swap(unclaimed);
  return text;
}

}  // namespace halo::cuda
