// What every callback of ONNX Runtime is wrapped in: no exception crosses the border, and a refusal says who refused.
#pragma once

#include <exception>
#include <string>

#include "common/status.h"
#include "plugin/call.h"

namespace halo::cuda {

inline constexpr const char* kProviderName = "HaloCuda";

inline OrtStatus* ort_status(const std::string& who, const std::string& message) noexcept {
  return ort->CreateStatus(ORT_EP_FAIL, (who + ": " + message).c_str());
}

template <class F>
OrtStatus* provider_guarded(const char* who, F&& f) noexcept {
  try {
    const Status status = f();
    return status.ok() ? nullptr : ort_status(who, status.message());
  } catch (const std::exception& e) {
    return ort_status(who, e.what());
  }
}

template <class F>
OrtStatus* provider_guarded(F&& f) noexcept {
  return provider_guarded(kProviderName, std::forward<F>(f));
}

}  // namespace halo::cuda
