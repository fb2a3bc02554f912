// An operator as ONNX Runtime wants it, from a struct that says what it is and what it computes.
#pragma once

#include <onnxruntime_c_api.h>

#include <array>
#include <exception>
#include <span>
#include <vector>

#include "common/dispatch.h"
#include "common/shape.h"
#include "common/status.h"
#include "plugin/attributes.h"
#include "plugin/call.h"
#include "plugin/schema.h"

namespace halo {

/// What one operator's binding gives; see Op below.
struct OpEntry {
  const Schema* schema = nullptr;
  OrtCustomOp* op = nullptr;
  OrtCustomOp* on_cuda = nullptr;  // for ONNX Runtime's own CUDA provider; null where there is none
};

/// Every operator of the library, in no particular order.
std::vector<OpEntry>& registry();

/// Calls f and turns what it throws, or the status it returns, into a status of ONNX Runtime's that names the operator.
template <class F>
OrtStatus* guarded(const char* name, F&& f) noexcept {
  try {
    const Status status = f();
    if (status.ok()) return nullptr;
    return ort->CreateStatus(ORT_INVALID_ARGUMENT, ("com.halo." + std::string(name) + ": " + status.message()).c_str());
  } catch (const std::exception& e) {
    return ort->CreateStatus(ORT_FAIL, (std::string("com.halo.") + name + ": " + e.what()).c_str());
  }
}

/// Reads the attributes and input types of a node, runs `infer` over them and reports the outputs.
OrtStatus* infer_node(const ReadSchema& schema, OrtShapeInferContext* context, Status (*infer)(const Attributes&, Types, ResultTypes)) noexcept;

/// The types of all inputs at run time, as many as the schema has, checked against it.
Status read_types(const ReadSchema& schema, OrtKernelContext* context, ResultTypes in);

/// An error where an input is missing or of a type that the schema does not have.
Status check_types(const ReadSchema& schema, Types in);

/// Attributes by their handles, wherever those come from.
class OpAttributes : public Attributes {
 public:
  int64_t integer(const char* name, int64_t otherwise) const override;
  float real(const char* name, float otherwise) const override;
  std::string text(const char* name) const override;
  std::vector<int64_t> integers(const char* name) const override;

 protected:
  /// Null where it is missing.
  virtual const OrtOpAttr* find(const char* name) const = 0;

 private:
  size_t bytes_of(const char* name, OrtOpAttrType type) const;
  void read(const char* name, OrtOpAttrType type, void* data, size_t bytes) const;
};

/// Attributes of a kernel that is being made.
class KernelAttributes final : public Attributes {
 public:
  explicit KernelAttributes(const OrtKernelInfo* info) : info_(info) {}
  int64_t integer(const char* name, int64_t otherwise) const override;
  float real(const char* name, float otherwise) const override;
  std::string text(const char* name) const override;
  std::vector<int64_t> integers(const char* name) const override;
  std::string node_name() const override;
  std::string setting(const char* key) const override;

 private:
  const OrtKernelInfo* info_;
};

/// Fills in those callbacks of OrtCustomOp that are the same for all.
void fill(OrtCustomOp& op);

/// Base of an operator T, which has
///   static constexpr Schema schema;
///   explicit T(const Attributes&);                              reads the attributes, allocates nothing large
///   Status infer(Types in, ResultTypes out) const;              types and sizes; also run before compute, with all sizes known
///   Status compute(Call&) const;
///   static constexpr bool kAliasesFirstInput = true;            optional: the first output lies where the first input does, if the runtime can have it so
///   Status compute_cuda(cuda::OpLaunch&) const;                 the same on a GPU, where the library has CUDA
template <class T>
struct Op {
  struct Kernel {
    explicit Kernel(const OrtKernelInfo* info) : op(KernelAttributes(info)), products(info) {}
    T op;
    ProductCache products;
  };

  static OrtCustomOp* definition() {
    static OrtCustomOp op = [] {
      OrtCustomOp made{};
      fill(made);
      made.GetName = [](const OrtCustomOp*) { return T::schema.name; };
      made.GetInputTypeCount = [](const OrtCustomOp*) { return inputs().size(); };
      made.GetOutputTypeCount = [](const OrtCustomOp*) { return outputs().size(); };
      made.GetInputType = [](const OrtCustomOp*, size_t i) { return only_type(inputs()[i]); };
      made.GetOutputType = [](const OrtCustomOp*, size_t i) { return only_type(outputs()[i]); };
      made.GetVariadicInputMinArity = [](const OrtCustomOp*) { return inputs().back().optional ? 0 : 1; };
      made.GetInputCharacteristic = [](const OrtCustomOp*, size_t i) { return presence(inputs()[i]); };
      made.GetOutputCharacteristic = [](const OrtCustomOp*, size_t i) { return presence(outputs()[i]); };
      made.CreateKernelV2 = [](const OrtCustomOp*, const OrtApi*, const OrtKernelInfo* info, void** kernel) {
        return guarded(T::schema.name, [&] {
          *kernel = new Kernel(info);
          return Status();
        });
      };
      made.KernelDestroy = [](void* kernel) { delete static_cast<Kernel*>(kernel); };
      made.KernelComputeV2 = [](void* kernel, OrtKernelContext* context) {
        return guarded(T::schema.name, [&] { return compute(*static_cast<Kernel*>(kernel), context); });
      };
      made.InferOutputShapeFn = [](const OrtCustomOp*, OrtShapeInferContext* context) {
        return infer_node(schema_of<T>(), context, [](const Attributes& attributes, Types in, ResultTypes out) { return T(attributes).infer(in, out); });
      };
      if constexpr (requires { T::kAliasesFirstInput; }) {
        made.GetAliasMap = [](int** input, int** output) -> size_t {
          static int first = 0;
          *input = *output = &first;
          return 1;
        };
        made.ReleaseAliasMap = [](int*, int*) {};
      }
      return made;
    }();
    return &op;
  }

 private:
  static const std::vector<Parameter>& inputs() { return schema_of<T>().in; }
  static const std::vector<Parameter>& outputs() { return schema_of<T>().out; }

  static ONNXTensorElementDataType only_type(const Parameter& parameter) {
    return parameter.allowed.size() == 1 ? static_cast<ONNXTensorElementDataType>(parameter.allowed[0]) : ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED;
  }

  static OrtCustomOpInputOutputCharacteristic presence(const Parameter& parameter) {
    return parameter.variadic ? INPUT_OUTPUT_VARIADIC : parameter.optional ? INPUT_OUTPUT_OPTIONAL : INPUT_OUTPUT_REQUIRED;
  }

  static Status compute(Kernel& kernel, OrtKernelContext* context) {
    std::array<TensorType, parameters_count(T::schema.in)> in;
    std::array<TensorType, parameters_count(T::schema.out)> out;
    HALO_RETURN_IF_ERROR(read_types(schema_of<T>(), context, in));
    HALO_RETURN_IF_ERROR(kernel.op.infer(in, out));
    Call call(context, kernel.products, in, out);
    return kernel.op.compute(call);
  }
};

}  // namespace halo
