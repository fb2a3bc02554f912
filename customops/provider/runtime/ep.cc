#include "provider/runtime/ep.h"

#include <cstring>
#include <optional>

#include "common/integer_text.h"
#include "provider/errors.h"
#include "provider/runtime/guard.h"
#include "provider/runtime/stream.h"

namespace halo::cuda {

namespace {

/// The run option by which a caller names the recording, and the name that asks for none.
constexpr const char* kRecordingOption = "gpu_graph_id";
constexpr int kPlainRun = -1;

/// 0 where none is named.
Status recording_of(const OrtRunOptions* options, int* recording) {
  const char* text = options == nullptr ? nullptr : ort->GetRunConfigEntry(options, kRecordingOption);
  const std::optional<int> named = text == nullptr ? 0 : integer_of<int>(text);
  HALO_REQUIRE(named.has_value(), kRecordingOption << " with a whole number", "'" << text << "'", "Give the recording's number, or -1 for none.");
  *recording = *named;
  return {};
}

/// "" where the option is not given.
std::string option_of(const OrtSessionOptions* options, const char* key) {
  int has = 0;
  check(ort->HasSessionConfigEntry(options, key, &has));
  if (has == 0) return "";
  size_t size = 0;
  check(ort->GetSessionConfigEntry(options, key, nullptr, &size));
  std::string text(size, '\0');
  check(ort->GetSessionConfigEntry(options, key, text.data(), &size));
  text.resize(std::strlen(text.c_str()));
  return text;
}

}  // namespace

Status read_settings(const OrtSessionOptions* options, Device& device, ProviderSettings* settings) {
  settings->records = option_of(options, "ep.halocuda.graph_capture") == "1";
  HALO_RETURN_IF_ERROR(attention_kernels_of(option_of(options, "ep.halocuda.attention"), &settings->attention));
  return settings->attention == AttentionKernels::kCudnn ? device.attention().open() : Status();
}

Ep::Ep(Device& device, const ProviderSettings& settings) : OrtEp{}, device_(device), settings_(settings) {
  settings_.records = settings.records && !device.is_checked();
  ort_version_supported = ORT_API_VERSION;
  GetName = [](const OrtEp*) noexcept { return kProviderName; };
  GetCapability = [](OrtEp*, const OrtGraph* graph, OrtEpGraphSupportInfo* info) noexcept -> OrtStatus* {
    return provider_guarded([&] { return claim_nodes(graph, info); });
  };
  GetKernelRegistry = [](OrtEp* self, const OrtKernelRegistry** registry) noexcept -> OrtStatus* {
    return provider_guarded([&]() -> Status {
      if (of(self).registry_ == nullptr) {
        check(ort->GetEpApi()->CreateKernelRegistry(&of(self).registry_));
        HALO_RETURN_IF_ERROR(halo::cuda::add_kernels(of(self).device_, of(self).settings_, of(self).registry_));
      }
      *registry = of(self).registry_;
      return {};
    });
  };
  CreateSyncStreamForDevice = [](OrtEp* self, const OrtMemoryDevice*, OrtSyncStreamImpl** made) noexcept -> OrtStatus* {
    return provider_guarded([&]() -> Status {
      *made = new Stream(of(self).device_);
      return {};
    });
  };
  // All sessions share the stream, but a session's memory pattern is one run's at a time.
  IsConcurrentRunSupported = [](OrtEp*, bool* is_supported) noexcept -> OrtStatus* {
    *is_supported = false;
    return nullptr;
  };
  OnRunStart = [](OrtEp* self, const OrtRunOptions* options) noexcept -> OrtStatus* {
    return provider_guarded([&]() -> Status {
      int recording = 0;
      HALO_RETURN_IF_ERROR(recording_of(options, &recording));
      return of(self).start_run(recording);
    });
  };
  OnRunEnd = [](OrtEp* self, const OrtRunOptions* options, bool waits) noexcept -> OrtStatus* {
    return provider_guarded([&]() -> Status {
      int recording = 0;
      HALO_RETURN_IF_ERROR(recording_of(options, &recording));
      return of(self).end_run(recording, waits);
    });
  };
  Sync = [](OrtEp* self) noexcept -> OrtStatus* {
    return provider_guarded([&] { return of(self).device_.is_capturing() ? Status() : of(self).device_.wait(); });
  };
  if (settings_.records) offer_capture();
}

Ep::~Ep() {
  static_cast<void>(device_.wait());  // nothing is left to do where it fails
  while (!recordings_.empty()) forget(recordings_.begin()->first);
  if (registry_ != nullptr) ort->GetEpApi()->ReleaseKernelRegistry(registry_);
}

/// ONNX Runtime makes runs until IsGraphCaptured: here a plain one, then one that is recorded and not carried out, so that the first call of Run does
/// the work once. Later calls are ReplayGraph alone.
void Ep::offer_capture() {
  IsGraphCaptureEnabled = [](const OrtEp*) noexcept { return true; };
  IsGraphCaptured = [](const OrtEp* self, int id) noexcept {
    const auto found = of(self).recordings_.find(id);
    return found != of(self).recordings_.end() && found->second.replayed != nullptr;
  };
  ReplayGraph = [](OrtEp* self, int id) noexcept -> OrtStatus* { return provider_guarded([&] { return of(self).replay(id); }); };
  ReleaseCapturedGraph = [](OrtEp* self, int id) noexcept -> OrtStatus* {
    of(self).forget(id);
    return nullptr;
  };
  GetGraphCaptureNodeAssignmentPolicy = [](const OrtEp*) noexcept { return OrtGraphCaptureNodeAssignmentPolicy_ALL_NODES_ON_EP; };
}

Status Ep::start_run(int id) {
  HALO_RETURN_IF_ERROR(device_.prepare());
  HALO_RETURN_IF_ERROR(device_.host_copies().settle());
  if (!settings_.records || id == kPlainRun) {
    device_.note_launches();
    return {};
  }
  if (recordings_.count(id) == 0) device_.add_recording();
  const Recording& recording = recordings_[id];
  if (recording.replayed != nullptr) return {};
  if (!recording.is_warm) device_.note_launches();
  if (recording.is_warm) {
    HALO_RETURN_IF_ERROR(device_.wait());
    HALO_CUDA_RETURN_IF_ERROR(cudaStreamBeginCapture(device_.stream(), cudaStreamCaptureModeThreadLocal));
  }
  device_.begin_recorded(recording.is_warm);
  return {};
}

Status Ep::end_run(int id, bool waits) {
  if (settings_.records && id != kPlainRun) {
    Recording& recording = recordings_[id];
    const bool was_captured = device_.is_capturing();
    device_.end_recorded();
    if (was_captured) {
      recording.work = take_recorded_work(device_);
      for (const auto& work : recording.work) work->end();
      HALO_CUDA_RETURN_IF_ERROR(cudaStreamEndCapture(device_.stream(), &recording.graph));
      return HALO_CUDA_STATUS(cudaGraphInstantiate(&recording.replayed, recording.graph, 0));
    }
    recording.is_warm = true;
  }
  return waits ? device_.wait() : Status();
}

Status Ep::replay(int id) {
  HALO_RETURN_IF_ERROR(device_.prepare());
  device_.note_replay();
  const Recording& recording = recordings_[id];
  for (const auto& work : recording.work) HALO_RETURN_IF_ERROR(work->before_replay());
  HALO_CUDA_RETURN_IF_ERROR(cudaGraphLaunch(recording.replayed, device_.stream()));
  for (const auto& work : recording.work) HALO_RETURN_IF_ERROR(work->after_replay());
  return {};
}

void Ep::forget(int id) {
  const auto found = recordings_.find(id);
  if (found == recordings_.end()) return;
  static_cast<void>(device_.wait());
  if (found->second.replayed != nullptr) cudaGraphExecDestroy(found->second.replayed);
  if (found->second.graph != nullptr) cudaGraphDestroy(found->second.graph);
  recordings_.erase(found);
  device_.drop_recording();
}

}  // namespace halo::cuda
