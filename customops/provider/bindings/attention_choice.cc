#include "provider/bindings/attention_choice.h"

#include <algorithm>

namespace halo::cuda {

namespace {

Status check_cudnn(const OpLaunch& launch, DType type, const AttentionMask& mask, const AttentionSizes& sizes, std::initializer_list<const void*> tensors) {
  constexpr uintptr_t kAlignment = 16;
  HALO_RETURN_IF_ERROR(launch.device().attention().open());
  HALO_RETURN_IF_ERROR(check_attention_cudnn(type, mask, sizes));
  const bool is_aligned = std::all_of(tensors.begin(), tensors.end(), [](const void* x) { return reinterpret_cast<uintptr_t>(x) % kAlignment == 0; });
  HALO_REQUIRE(is_aligned, "tensors at multiples of " << kAlignment << " bytes for cuDNN's attention", "a view between them", "Set attention to auto or halo.");
  return {};
}

}  // namespace

Status choose_attention(const OpLaunch& launch, DType type, const AttentionMask& mask, const AttentionSizes& sizes, std::initializer_list<const void*> tensors,
                        bool* is_by_cudnn) {
  const AttentionKernels asked = launch.settings().attention;
  const Status status = asked == AttentionKernels::kHalo ? Status::error("attention is set to halo") : check_cudnn(launch, type, mask, sizes, tensors);
  if (asked == AttentionKernels::kCudnn) HALO_RETURN_IF_ERROR(status);
  launch.device().note_attention(status.message());
  *is_by_cudnn = status.ok();
  return {};
}

}  // namespace halo::cuda
