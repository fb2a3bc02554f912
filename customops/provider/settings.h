// What a session asks of the provider, by options ep.halocuda.NAME.
#pragma once

#include <string>

#include "common/status.h"

namespace halo::cuda {

/// Whose kernels run com.halo's attention: cuDNN's where it is there and takes the node, else ours; ours; or cuDNN's, and what it does not take is an error.
enum class AttentionKernels { kAuto, kHalo, kCudnn };

struct ProviderSettings {
  bool records = false;                                  // graph_capture: work of a run is recorded, and replayed in later ones
  AttentionKernels attention = AttentionKernels::kAuto;  // attention: auto, halo or cudnn
};

/// "" stands for auto.
inline Status attention_kernels_of(const std::string& text, AttentionKernels* kernels) {
  HALO_REQUIRE(text.empty() || text == "auto" || text == "halo" || text == "cudnn", "attention auto, halo or cudnn", text, "Give one of them.");
  *kernels = text == "cudnn" ? AttentionKernels::kCudnn : (text == "halo" ? AttentionKernels::kHalo : AttentionKernels::kAuto);
  return {};
}

}  // namespace halo::cuda
