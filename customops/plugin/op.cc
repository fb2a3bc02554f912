#include "plugin/op.h"

#include <algorithm>
#include <atomic>
#include <climits>
#include <string>

namespace halo {

namespace {

/// Attributes while shapes are inferred.
class InferenceAttributes final : public OpAttributes {
 public:
  explicit InferenceAttributes(const OrtShapeInferContext* context) : context_(context) {}

 protected:
  const OrtOpAttr* find(const char* name) const override {
    const OrtOpAttr* attribute = nullptr;
    OrtStatus* status = ort->ShapeInferContext_GetAttribute(context_, name, &attribute);
    if (status != nullptr) ort->ReleaseStatus(status);  // missing
    return attribute;
  }

 private:
  const OrtShapeInferContext* context_;
};

const TensorType kAbsent{.type = DType::kUndefined, .shape = {}, .present = false};

struct TypeInfoDeleter {
  void operator()(OrtTensorTypeAndShapeInfo* info) const { ort->ReleaseTensorTypeAndShapeInfo(info); }
};
using TypeInfo = std::unique_ptr<OrtTensorTypeAndShapeInfo, TypeInfoDeleter>;

TensorType type_of(const OrtTensorTypeAndShapeInfo* info) {
  ONNXTensorElementDataType type = ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED;
  check(ort->GetTensorElementType(info, &type));
  size_t rank = 0;
  check(ort->GetDimensionsCount(info, &rank));
  std::vector<int64_t> sizes(rank);
  check(ort->GetDimensions(info, sizes.data(), rank));
  return {.type = static_cast<DType>(type), .shape = Shape(sizes), .present = true};
}

/// A size without a name would be taken for the number -1, and one of a shared name for the same size: each gets a name of its own.
void name_unknown(OrtTensorTypeAndShapeInfo* info, std::span<const int64_t> sizes) {
  static std::atomic<int64_t> count{0};
  std::vector<std::string> names;
  for (const int64_t size : sizes) names.push_back(size == Shape::kUnknown ? "halo_unknown_" + std::to_string(++count) : "");
  std::vector<const char*> pointers;
  for (const std::string& name : names) pointers.push_back(name.c_str());
  check(ort->SetSymbolicDimensions(info, pointers.data(), pointers.size()));
}

void report(OrtShapeInferContext* context, size_t index, const TensorType& result) {
  OrtTensorTypeAndShapeInfo* made = nullptr;
  check(ort->CreateTensorTypeAndShapeInfo(&made));
  const TypeInfo info(made);
  check(ort->SetTensorElementType(made, static_cast<ONNXTensorElementDataType>(result.type)));
  const auto sizes = result.shape.sizes();
  check(ort->SetDimensions(made, sizes.data(), sizes.size()));
  if (std::find(sizes.begin(), sizes.end(), Shape::kUnknown) != sizes.end()) name_unknown(made, sizes);
  check(ort->ShapeInferContext_SetOutputTypeShape(context, index, made));
}

}  // namespace

std::vector<OpEntry>& registry() {
  static std::vector<OpEntry> entries;
  return entries;
}

Status check_types(const ReadSchema& schema, Types in) {
  const auto& wanted = schema.in;
  for (size_t i = 0; i < wanted.size(); ++i) {
    if (i >= in.size() || !in[i].present) {
      HALO_REQUIRE(wanted[i].optional, "input " + wanted[i].name, "none", "Give it.");
      continue;
    }
    bool is_allowed = false;
    for (const DType type : wanted[i].allowed) is_allowed = is_allowed || type == in[i].type;
    HALO_REQUIRE(is_allowed, wanted[i].name + " of another type", in[i].type, "Cast it to a type of the schema.");
    for (size_t j = 0; j < i; ++j) {
      HALO_REQUIRE(wanted[j].type != wanted[i].type || !in[j].present || in[j].type == in[i].type, wanted[i].name + " of the type of " + wanted[j].name,
                   in[i].type, "Cast one of them.");
    }
  }
  return {};
}

int64_t OpAttributes::integer(const char* name, int64_t otherwise) const {
  int64_t value = otherwise;
  read(name, ORT_OP_ATTR_INT, &value, sizeof value);
  return value;
}

float OpAttributes::real(const char* name, float otherwise) const {
  float value = otherwise;
  read(name, ORT_OP_ATTR_FLOAT, &value, sizeof value);
  return value;
}

std::string OpAttributes::text(const char* name) const {
  std::string value(bytes_of(name, ORT_OP_ATTR_STRING), '\0');
  if (!value.empty()) read(name, ORT_OP_ATTR_STRING, value.data(), value.size());
  return value.c_str();  // the size counts a closing zero in some versions
}

std::vector<int64_t> OpAttributes::integers(const char* name) const {
  std::vector<int64_t> values(bytes_of(name, ORT_OP_ATTR_INTS) / sizeof(int64_t));
  if (!values.empty()) read(name, ORT_OP_ATTR_INTS, values.data(), values.size() * sizeof(int64_t));
  return values;
}

size_t OpAttributes::bytes_of(const char* name, OrtOpAttrType type) const {
  size_t bytes = 0;
  if (const OrtOpAttr* attribute = find(name)) {
    OrtStatus* status = ort->ReadOpAttr(attribute, type, nullptr, 0, &bytes);  // fails, and says how much room it wants
    if (status != nullptr) ort->ReleaseStatus(status);
  }
  return bytes;
}

void OpAttributes::read(const char* name, OrtOpAttrType type, void* data, size_t bytes) const {
  size_t needed = 0;
  if (const OrtOpAttr* attribute = find(name)) check(ort->ReadOpAttr(attribute, type, data, bytes, &needed));
}

OrtStatus* infer_node(const ReadSchema& schema, OrtShapeInferContext* context, Status (*infer)(const Attributes&, Types, ResultTypes)) noexcept {
  return guarded(schema.name, [&] {
    size_t count = 0;
    check(ort->ShapeInferContext_GetInputCount(context, &count));
    std::vector<TensorType> in(schema.in.size(), kAbsent);
    for (size_t i = 0; i < std::min(count, in.size()); ++i) {
      OrtTensorTypeAndShapeInfo* info = nullptr;
      check(ort->ShapeInferContext_GetInputTypeShape(context, i, &info));
      in[i] = type_of(info);  // of the context, which owns it
      in[i].present = in[i].type != DType::kUndefined;
    }
    HALO_RETURN_IF_ERROR(check_types(schema, in));
    std::vector<TensorType> out(schema.out.size());
    HALO_RETURN_IF_ERROR(infer(InferenceAttributes(context), in, out));
    for (size_t i = 0; i < out.size(); ++i) {
      if (out[i].present) report(context, i, out[i]);
    }
    return Status();
  });
}

Status read_types(const ReadSchema& schema, OrtKernelContext* context, ResultTypes in) {
  std::fill(in.begin(), in.end(), kAbsent);
  size_t count = 0;
  check(ort->KernelContext_GetInputCount(context, &count));
  for (size_t i = 0; i < std::min(count, in.size()); ++i) {
    const OrtValue* value = nullptr;
    check(ort->KernelContext_GetInput(context, i, &value));
    if (value == nullptr) continue;
    ONNXTensorElementDataType type = ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED;
    const int64_t* sizes = nullptr;
    size_t rank = 0;
    check(ort->GetTensorElementTypeAndShapeDataReference(value, &type, &sizes, &rank));
    in[i] = {.type = static_cast<DType>(type), .shape = Shape(std::span(sizes, rank)), .present = true};
  }
  return check_types(schema, in);
}

int64_t KernelAttributes::integer(const char* name, int64_t otherwise) const {
  int64_t value = otherwise;
  OrtStatus* status = ort->KernelInfoGetAttribute_int64(info_, name, &value);
  if (status != nullptr) ort->ReleaseStatus(status);
  return status == nullptr ? value : otherwise;
}

float KernelAttributes::real(const char* name, float otherwise) const {
  float value = otherwise;
  OrtStatus* status = ort->KernelInfoGetAttribute_float(info_, name, &value);
  if (status != nullptr) ort->ReleaseStatus(status);
  return status == nullptr ? value : otherwise;
}

std::string KernelAttributes::text(const char* name) const {
  size_t size = 0;
  if (OrtStatus* status = ort->KernelInfoGetAttribute_string(info_, name, nullptr, &size)) {
    ort->ReleaseStatus(status);
    return {};
  }
  std::string value(size, '\0');
  check(ort->KernelInfoGetAttribute_string(info_, name, value.data(), &size));
  return value.c_str();  // the size counts the closing zero
}

std::vector<int64_t> KernelAttributes::integers(const char* name) const {
  size_t count = 0;
  if (OrtStatus* status = ort->KernelInfoGetAttributeArray_int64(info_, name, nullptr, &count)) {
    ort->ReleaseStatus(status);
    return {};
  }
  std::vector<int64_t> values(count);
  check(ort->KernelInfoGetAttributeArray_int64(info_, name, values.data(), &count));
  return values;
}

std::string KernelAttributes::node_name() const {
  size_t size = 0;
  if (OrtStatus* status = ort->KernelInfo_GetNodeName(info_, nullptr, &size)) ort->ReleaseStatus(status);
  std::string name(size, '\0');
  if (size > 0) check(ort->KernelInfo_GetNodeName(info_, name.data(), &size));
  return name.c_str();  // the size counts the closing zero
}

std::string KernelAttributes::setting(const char* key) const {
  OrtKeyValuePairs* entries = nullptr;
  check(ort->KernelInfo_GetConfigEntries(info_, &entries));
  const std::unique_ptr<OrtKeyValuePairs, void (*)(OrtKeyValuePairs*)> owner(entries, [](OrtKeyValuePairs* pairs) { ort->ReleaseKeyValuePairs(pairs); });
  const char* value = ort->GetKeyValue(entries, key);
  return value == nullptr ? std::string() : value;
}

void fill(OrtCustomOp& op) {
  op.version = ORT_API_VERSION;
  op.GetExecutionProviderType = [](const OrtCustomOp*) -> const char* { return "CPUExecutionProvider"; };
  op.GetInputMemoryType = [](const OrtCustomOp*, size_t) { return OrtMemTypeDefault; };
  op.GetVariadicOutputMinArity = [](const OrtCustomOp*) { return 1; };
  op.GetVariadicInputHomogeneity = op.GetVariadicOutputHomogeneity = [](const OrtCustomOp*) { return 0; };
  op.GetStartVersion = [](const OrtCustomOp*) { return 1; };
  op.GetEndVersion = [](const OrtCustomOp*) { return INT_MAX; };
}

}  // namespace halo
