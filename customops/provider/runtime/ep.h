// The provider of one session.
#pragma once

#include <onnxruntime_c_api.h>

#include <map>
#include <memory>
#include <vector>

#include "provider/device.h"
#include "provider/recorded_work.h"
#include "provider/settings.h"

namespace halo::cuda {

class Ep final : public OrtEp {
 public:
  /// Where each node is waited for nothing is recorded.
  Ep(Device& device, const ProviderSettings& settings);
  ~Ep();
  Ep(const Ep&) = delete;
  Ep& operator=(const Ep&) = delete;

  Device& device() { return device_; }

 private:
  struct Recording {
    cudaGraph_t graph = nullptr;
    cudaGraphExec_t replayed = nullptr;
    bool is_warm = false;  // one run was made, which has set up libraries and sizes
    std::vector<std::shared_ptr<RecordedWork>> work;
  };

  static Ep& of(OrtEp* self) { return *static_cast<Ep*>(self); }
  static const Ep& of(const OrtEp* self) { return *static_cast<const Ep*>(self); }
  void offer_capture();
  Status start_run(int id);
  Status end_run(int id, bool waits);
  Status replay(int id);
  void forget(int id);

  Device& device_;
  ProviderSettings settings_;
  OrtKernelRegistry* registry_ = nullptr;
  std::map<int, Recording> recordings_;
};

/// A session's options. What is asked for and not there is an error: cuDNN.
Status read_settings(const OrtSessionOptions* options, Device& device, ProviderSettings* settings);

/// GetCapability: claims each node that a kernel's row supports, and notes the others.
Status claim_nodes(const OrtGraph* graph, OrtEpGraphSupportInfo* info);

/// The nodes that the last session left to others, one a line: "node<TAB>'name' (Type): why". Asking empties the list.
std::string take_unclaimed();

/// Kernels of the table as those of ONNX Runtime.
Status add_kernels(Device& device, const ProviderSettings& settings, OrtKernelRegistry* registry);

}  // namespace halo::cuda
