// The rows of the kernel table as kernels of ONNX Runtime.
#include <memory>
#include <string>

#include "plugin/op.h"
#include "provider/bindings/kernel.h"
#include "provider/runtime/ep.h"
#include "provider/runtime/guard.h"

namespace halo::cuda {

namespace {

/// What a kernel is made from; lives as long as the process, as registries do.
struct Source {
  const KernelEntry* entry;
  Device* device;
  ProviderSettings settings;
};

class KernelNodeAttributes final : public NodeAttributes {
 public:
  explicit KernelNodeAttributes(const OrtKernelInfo* info) : info_(info), plain_(info) {}
  int64_t integer(const char* name, int64_t otherwise) const override { return plain_.integer(name, otherwise); }
  float real(const char* name, float otherwise) const override { return plain_.real(name, otherwise); }
  std::string text(const char* name) const override { return plain_.text(name); }
  std::vector<int64_t> integers(const char* name) const override { return plain_.integers(name); }
  std::string node_name() const override { return plain_.node_name(); }
  std::string setting(const char* key) const override { return plain_.setting(key); }

  SplatAttribute splat(const char* name) const override {
    OrtAllocator* allocator = nullptr;
    check(ort->GetAllocatorWithDefaultOptions(&allocator));
    OrtValue* value = nullptr;
    if (OrtStatus* status = ort->KernelInfoGetAttribute_tensor(info_, name, allocator, &value)) {
      ort->ReleaseStatus(status);
      return {};
    }
    const std::unique_ptr<OrtValue, void (*)(OrtValue*)> owner(value, [](OrtValue* v) { ort->ReleaseValue(v); });
    ONNXTensorElementDataType type = ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED;
    const int64_t* sizes = nullptr;
    size_t rank = 0;
    const void* data = nullptr;
    check(ort->GetTensorElementTypeAndShapeDataReference(value, &type, &sizes, &rank));
    check(ort->GetTensorData(value, &data));
    SplatAttribute splat{.type = static_cast<DType>(type), .bits = 0};
    __builtin_memcpy(&splat.bits, data, static_cast<size_t>(size_of(splat.type)));
    return splat;
  }

 private:
  const OrtKernelInfo* info_;
  KernelAttributes plain_;
};

class NodeKernel final : public OrtKernelImpl {
 public:
  NodeKernel(const Source& source, const OrtKernelInfo* info)
      : OrtKernelImpl{},
        device_(*source.device),
        settings_(source.settings),
        who_(described(*source.entry, info)),
        run_(source.entry->make(KernelNodeAttributes(info))) {
    ort_version_supported = ORT_API_VERSION;
    Release = [](OrtKernelImpl* self) noexcept { delete static_cast<NodeKernel*>(self); };
    Compute = [](OrtKernelImpl* self, OrtKernelContext* context) noexcept -> OrtStatus* { return static_cast<NodeKernel*>(self)->compute(context); };
  }

 private:
  static std::string described(const KernelEntry& entry, const OrtKernelInfo* info) {
    char name[256] = {};
    size_t size = sizeof name;
    OrtStatus* status = ort->KernelInfo_GetNodeName(info, name, &size);
    if (status != nullptr) ort->ReleaseStatus(status);  // a longer name is left out
    return std::string(kProviderName) + ": '" + name + "' (" + entry.type + ")";
  }

  OrtStatus* compute(OrtKernelContext* context) noexcept {
    return provider_guarded(who_.c_str(), [&]() -> Status {
      Launch launch(context, device_, settings_);
      HALO_RETURN_IF_ERROR(run_(launch));
      return device_.is_checked() && !device_.is_capturing() ? HALO_CUDA_STATUS(cudaStreamSynchronize(device_.stream())) : Status();
    });
  }

  Device& device_;
  ProviderSettings settings_;
  std::string who_;
  Kernel run_;
};

OrtStatus* make_kernel(void* state, const OrtKernelInfo* info, OrtKernelImpl** made) noexcept {
  return provider_guarded([&]() -> Status {
    *made = new NodeKernel(*static_cast<Source*>(state), info);
    return {};
  });
}

void add(const OrtEpApi& api, const KernelEntry& entry, Device& device, const ProviderSettings& settings, OrtKernelRegistry* registry) {
  OrtKernelDefBuilder* made = nullptr;
  check(api.CreateKernelDefBuilder(&made));
  const std::unique_ptr<OrtKernelDefBuilder, void (*)(OrtKernelDefBuilder*)> builder(
      made, [](OrtKernelDefBuilder* b) { ort->GetEpApi()->ReleaseKernelDefBuilder(b); });
  check(api.KernelDefBuilder_SetOperatorType(made, entry.type));
  check(api.KernelDefBuilder_SetDomain(made, entry.domain));
  check(api.KernelDefBuilder_SetSinceVersion(made, 1, 1000));  // any: the bindings know the forms of all opsets that models are read at
  check(api.KernelDefBuilder_SetExecutionProvider(made, kProviderName));
  for (const int i : entry.host_inputs) check(api.KernelDefBuilder_SetInputMemType(made, static_cast<size_t>(i), OrtMemTypeCPUInput));
  for (const int i : entry.host_outputs) check(api.KernelDefBuilder_SetOutputMemType(made, static_cast<size_t>(i), OrtMemTypeCPUOutput));
  const int first = 0;
  if (entry.is_view) check(api.KernelDefBuilder_AddInputOutputAliases(made, &first, &first, 1));
  if (!entry.in_place.empty()) {
    std::vector<int> inputs, outputs;
    for (const auto [input, output] : entry.in_place) {
      inputs.push_back(input);
      outputs.push_back(output);
    }
    check(api.KernelDefBuilder_AddInputOutputMutableAliases(made, inputs.data(), outputs.data(), outputs.size()));
  }
  OrtKernelDef* definition = nullptr;
  check(api.KernelDefBuilder_Build(made, &definition));
  const std::unique_ptr<OrtKernelDef, void (*)(OrtKernelDef*)> owner(definition, [](OrtKernelDef* d) { ort->GetEpApi()->ReleaseKernelDef(d); });
  check(api.KernelRegistry_AddKernel(registry, definition, make_kernel, new Source{&entry, &device, settings}));
}

}  // namespace

Status add_kernels(Device& device, const ProviderSettings& settings, OrtKernelRegistry* registry) {
  for (const KernelEntry& entry : kernels()) add(*ort->GetEpApi(), entry, device, settings, registry);
  return {};
}

}  // namespace halo::cuda
