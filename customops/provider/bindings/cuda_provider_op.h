// An operator of com.halo for ONNX Runtime's own CUDA provider, from the same struct and with the same kernel as for HaloCuda.
#pragma once

#include "plugin/op.h"
#include "provider/bindings/op_row.h"

namespace halo::cuda {

/// Work memory of one run from the arena of ONNX Runtime's CUDA provider, in the order of the run's stream.
class CudaProviderMemory final : public WorkMemory {
 public:
  CudaProviderMemory(const OrtKernelContext* context, const OrtMemoryInfo* memory) : allocator_(context, memory) {}
  void* allocate(int64_t bytes) override { return allocator_.allocate(bytes); }
  void free(void* block) override {
    if (block != nullptr) allocator_.free(block);
  }

 private:
  RunAllocator allocator_;
};

/// A GPU of ONNX Runtime's CUDA provider: the current one of the thread, on which its kernels are made and run.
class CudaProviderDevice {
 public:
  /// Refuses a GPU that the library was not built for.
  static Status current(CudaProviderDevice* found);

  Device& device() const { return *device_; }
  /// Of its arena, as ONNX Runtime calls it.
  const OrtMemoryInfo* memory() const { return memory_; }

 private:
  Device* device_ = nullptr;
  const OrtMemoryInfo* memory_ = nullptr;
};

/// T as Op<T> wants it, with compute_cuda; `kOwnProviderOnly` where its kernel needs HaloCuda's stream.
template <class T>
struct CudaProviderOp {
  struct Kernel {
    explicit Kernel(const KernelAttributes& attributes) : op(attributes) {}
    T op;
    CudaProviderDevice device;
    ProviderSettings settings;
  };

  /// Null where there is none.
  static OrtCustomOp* definition() {
    if constexpr (requires { T::kOwnProviderOnly; }) return nullptr;
    static OrtCustomOp op = [] {
      OrtCustomOp made = *Op<T>::definition();
      made.GetExecutionProviderType = [](const OrtCustomOp*) -> const char* { return "CUDAExecutionProvider"; };
      made.CreateKernelV2 = [](const OrtCustomOp*, const OrtApi*, const OrtKernelInfo* info, void** kernel) {
        return guarded(T::schema.name, [&]() -> Status {
          const KernelAttributes attributes(info);
          if constexpr (requires { T::supports_cuda(attributes); }) {
            HALO_REQUIRE(T::supports_cuda(attributes), "attributes that a CUDA kernel takes", "others", "Run the node on the CPU.");
          }
          auto created = std::make_unique<Kernel>(attributes);
          HALO_RETURN_IF_ERROR(CudaProviderDevice::current(&created->device));
          HALO_RETURN_IF_ERROR(attention_kernels_of(attributes.setting("ep.halocuda.attention"), &created->settings.attention));
          *kernel = created.release();
          return {};
        });
      };
      made.KernelDestroy = [](void* kernel) { delete static_cast<Kernel*>(kernel); };
      made.KernelComputeV2 = [](void* kernel, OrtKernelContext* context) {
        return guarded(T::schema.name, [&] { return compute(*static_cast<Kernel*>(kernel), context); });
      };
      return made;
    }();
    return &op;
  }

 private:
  static Status compute(Kernel& kernel, OrtKernelContext* context) {
    void* stream = nullptr;
    check(ort->KernelContext_GetGPUComputeStream(context, &stream));
    CudaProviderMemory memory(context, kernel.device.memory());
    Launch launch(context, kernel.device.device(), kernel.settings, static_cast<cudaStream_t>(stream), memory);
    return run_op(kernel.op, launch);
  }
};

}  // namespace halo::cuda
