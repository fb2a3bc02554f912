// What the runner asks of CUDA, also where the library was built without it.
#include <cstdint>
#include <string>

#ifdef HALO_CUDA
#include "provider/benchmarks/benchmarks.h"
#include "provider/collectives/nccl_trial.h"
#include "provider/device.h"
#include "provider/pinned_memory.h"
#include "provider/runtime/report.h"
#endif

extern "C" {

/// A line each: "what<TAB>found". "" where the library was built without CUDA.
__attribute__((visibility("default"))) const char* HaloCudaReport() {
#ifdef HALO_CUDA
  static thread_local std::string text;
  text = halo::cuda::report();
  return text.c_str();
#else
  return "";
#endif
}

/// Whether NCCL carries between ranks, as one rank can see it; "" where there is no GPU.
__attribute__((visibility("default"))) const char* HaloNcclReport() {
#ifdef HALO_CUDA
  static thread_local std::string text;
  text = halo::cuda::Device::all().empty() ? "" : halo::cuda::nccl_trial(*halo::cuda::Device::all()[0]);
  return text.c_str();
#else
  return "";
#endif
}

/// What went wrong since the last call, a line each: "node<TAB>which and why" that the provider did not take, "memory<TAB>wanted<TAB>in use<TAB>free<TAB>total"
/// in bytes. "" if nothing did.
__attribute__((visibility("default"))) const char* HaloCudaProblems() {
#ifdef HALO_CUDA
  static thread_local std::string text;
  text = halo::cuda::take_problems();
  return text.c_str();
#else
  return "";
#endif
}

/// Whose kernels ran com.halo's attention on a GPU since the last call, a line each: "cudnn<TAB>nodes<TAB>version", "halo<TAB>nodes<TAB>why not cuDNN". Nodes
/// count once a run, replayed runs not at all.
__attribute__((visibility("default"))) const char* HaloCudaAttention() {
#ifdef HALO_CUDA
  static thread_local std::string text;
  text = halo::cuda::take_attention();
  return text.c_str();
#else
  return "";
#endif
}

/// Runs of each GPU since the last call, a line each: "ordinal<TAB>replayed from a recording<TAB>launched node by node<TAB>1 where HALO_CUDA_SYNC=1 keeps
/// sessions from recording, else 0".
__attribute__((visibility("default"))) const char* HaloCudaRecordings() {
#ifdef HALO_CUDA
  static thread_local std::string text;
  text = halo::cuda::take_recordings();
  return text.c_str();
#else
  return "";
#endif
}

/// Memory of each GPU that was used, a line each: "ordinal<TAB>in use<TAB>peak<TAB>reserved<TAB>total" in bytes; peak is since the last call.
__attribute__((visibility("default"))) const char* HaloCudaMemory() {
#ifdef HALO_CUDA
  static thread_local std::string text;
  text = halo::cuda::take_memory();
  return text.c_str();
#else
  return "";
#endif
}

/// Zeros in page-locked host memory that GPUs read and write; 0 where there is none.
__attribute__((visibility("default"))) void* HaloCudaPin([[maybe_unused]] int64_t bytes) {
#ifdef HALO_CUDA
  void* memory = nullptr;
  return halo::cuda::pin(bytes, &memory).ok() ? memory : nullptr;
#else
  return nullptr;
#endif
}

__attribute__((visibility("default"))) void HaloCudaUnpin([[maybe_unused]] void* memory) {
#ifdef HALO_CUDA
  halo::cuda::unpin(memory);
#endif
}

/// The stream on which HaloCuda's work and copies of a GPU run, a cudaStream_t; 0 where there is no such GPU.
__attribute__((visibility("default"))) void* HaloCudaStream([[maybe_unused]] int ordinal) {
#ifdef HALO_CUDA
  for (halo::cuda::Device* device : halo::cuda::Device::all()) {
    if (device->ordinal() == ordinal && device->prepare().ok()) return device->stream();
  }
#endif
  return nullptr;
}

/// Times the CUDA kernels whose names contain `part`: calls `line` with `context` and a line of JSON each, as cuda::run_benchmarks does; 0 from it
/// ends the run. "" or what was wrong.
__attribute__((visibility("default"))) const char* HaloBenchKernels([[maybe_unused]] const char* part, [[maybe_unused]] int (*line)(void*, const char*),
                                                                    [[maybe_unused]] void* context) {
#ifdef HALO_CUDA
  static thread_local std::string text;
  text = halo::cuda::run_benchmarks(part, [&](const std::string& found) { return line(context, found.c_str()) != 0; }).message();
  return text.c_str();
#else
  return "expected a library with CUDA kernels, found one built without CUDA. Build where nvcc is on PATH.";
#endif
}
}
