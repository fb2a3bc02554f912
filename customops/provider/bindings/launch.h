// One run of a node on the device, as a binding sees it.
#pragma once

#include <onnxruntime_c_api.h>

#include <vector>

#include "provider/device.h"
#include "provider/errors.h"
#include "provider/kernels/tensor.h"
#include "provider/settings.h"

namespace halo::cuda {

struct Tensor {
  DType type = DType::kUndefined;
  Dims dims;
  const void* data = nullptr;  // on the host where the kernel's entry says so, else on the device

  bool is_present() const { return type != DType::kUndefined; }
  int64_t count() const { return dims.count(); }
  int64_t element_size() const { return size_of(type); }

  template <class T>
  const T* as() const {
    return static_cast<const T*>(data);
  }

  /// The elements of an int64 or int32 tensor on the host.
  std::vector<int64_t> integers() const;
};

/// Device memory until the end of the scope; what is launched before then may use it longer, as all work runs in the order of one stream.
class Workspace {
 public:
  Workspace(WorkMemory& memory, int64_t bytes) : memory_(memory), bytes_(bytes), data_(bytes > 0 ? memory.allocate(bytes) : nullptr) {}
  ~Workspace() { memory_.free(data_); }
  Workspace(const Workspace&) = delete;
  Workspace& operator=(const Workspace&) = delete;

  bool is_there() const { return bytes_ == 0 || data_ != nullptr; }
  void* data() const { return data_; }
  int64_t bytes() const { return bytes_; }

 private:
  WorkMemory& memory_;
  int64_t bytes_;
  void* data_;
};

class Launch {
 public:
  /// On the device's own stream, with its own memory.
  Launch(OrtKernelContext* context, Device& device, const ProviderSettings& settings) : Launch(context, device, settings, device.stream(), device) {}

  /// On a stream of ONNX Runtime's own provider.
  Launch(OrtKernelContext* context, Device& device, const ProviderSettings& settings, cudaStream_t stream, WorkMemory& memory)
      : context_(context), device_(device), settings_(settings), stream_(stream), memory_(memory) {}

  Device& device() const { return device_; }
  const ProviderSettings& settings() const { return settings_; }
  cudaStream_t stream() const { return stream_; }
  WorkMemory& memory() const { return memory_; }
  int inputs_count() const;
  int outputs_count() const;

  /// Absent where it is left out.
  Tensor in(int i) const;

  /// Allocated at the first call; null for an output that nobody asked for.
  void* out(int i, const Dims& dims) const;

  template <class T>
  T* out(int i, const Dims& dims) const {
    return static_cast<T*>(out(i, dims));
  }

 private:
  OrtKernelContext* context_;
  Device& device_;
  const ProviderSettings& settings_;
  cudaStream_t stream_;
  WorkMemory& memory_;
};

}  // namespace halo::cuda

// Work memory by name, or a return that says how much was missing.
#define HALO_WORKSPACE(name, launch, size)                     \
  const ::halo::cuda::Workspace name((launch).memory(), size); \
  HALO_REQUIRE(name.is_there(), name.bytes() << " bytes of work memory", "none left on the GPU", "Take a smaller batch or a shorter sequence.")
