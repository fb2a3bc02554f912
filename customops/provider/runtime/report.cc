#include "provider/runtime/report.h"

#include <cuda_runtime_api.h>

#include <cstdlib>

#include "provider/architectures.h"
#include "provider/device.h"
#include "provider/driver.h"
#include "provider/runtime/ep.h"

namespace halo::cuda {

namespace {

std::string version(int number) { return std::to_string(number / 1000) + "." + std::to_string(number % 1000 / 10); }

}  // namespace

std::string report() {
  std::string text;
  const auto line = [&](const std::string& what, const std::string& found) { text += what + "\t" + found + "\n"; };
  int number = 0;
  cudaRuntimeGetVersion(&number);
  line("CUDA runtime", version(number) + ", linked in");
  line("kernels", "for compute capabilities " + std::string(kBuiltFor));
  const Driver* driver = nullptr;
  if (const Status status = Driver::open(&driver); status.ok()) {
    cudaDriverGetVersion(&number);
    line("NVIDIA driver", "for CUDA " + version(number) + ", " + driver->path);
  } else {
    line("NVIDIA driver", status.message());
  }
  if (Device::all().empty()) line("GPU", Device::reason().empty() ? "none" : "none: " + Device::reason());
  for (Device* device : Device::all()) {
    const cudaDeviceProp& properties = device->properties();
    line("GPU " + std::to_string(device->ordinal()), std::string(properties.name) + ", compute capability " + std::to_string(properties.major) + "." +
                                                         std::to_string(properties.minor) + ", " + std::to_string(properties.totalGlobalMem >> 20) + " MiB, " +
                                                         std::to_string(properties.multiProcessorCount) + " multiprocessors" +
                                                         (device->has_kernels() ? "" : ", no kernels for it"));
  }
  if (!Device::all().empty()) {
    LtProducts& products = Device::all()[0]->products();
    const Status status = products.open();
    line("cuBLASLt", status.ok() ? products.version() + ", " + products.path() : status.message());
    CudnnAttention& attention = Device::all()[0]->attention();
    const Status opened = attention.open();
    line("cuDNN", opened.ok() ? attention.version() + ", " + attention.path() + ", for attention" : "none, attention runs without: " + opened.message());
  }
  const auto variable = [&](const char* name, const char* meaning) {
    const char* value = std::getenv(name);
    line(name, (value != nullptr && *value != '\0' ? "'" + std::string(value) + "'" : std::string("not set")) + ": " + meaning);
  };
  variable("HALO_CUDA_SYNC", "1 waits after each node, so that an error names it");
  variable("HALO_CUBLASLT", "the file of cuBLASLt, where it is not among the loader's or in CUDA's folders");
  variable("HALO_CUDNN", "the file of cuDNN, where it is not among the loader's or in CUDA's folders");
  variable("HALO_COLLECTIVE_TRACE", "where each rank writes when its collectives ran and were waited for");
  variable("HALO_RECORD_RANKS", "0: updates that ranks share by copies are launched node by node");
  variable("HALO_NCCL_PROCESSORS", "multiprocessors that NCCL may take and products leave, where ranks share a run");
  return text;
}

std::string take_attention() {
  std::string text;
  for (Device* device : Device::all()) {
    const Device::AttentionUse use = device->take_attention_use();
    if (use.by_cudnn > 0) text += "cudnn\t" + std::to_string(use.by_cudnn) + "\t" + device->attention().version() + "\n";
    if (use.by_halo > 0) text += "halo\t" + std::to_string(use.by_halo) + "\t" + use.reason + "\n";
  }
  return text;
}

std::string take_recordings() {
  std::string text;
  for (Device* device : Device::all()) {
    const Device::RecordingUse use = device->take_recording_use();
    text += std::to_string(device->ordinal()) + "\t" + std::to_string(use.replayed) + "\t" + std::to_string(use.launched) + "\t" +
            (device->is_checked() ? "1" : "0") + "\n";
  }
  return text;
}

std::string take_memory() {
  std::string text;
  for (Device* device : Device::all()) {
    if (!device->is_ready()) continue;
    const ArenaStats stats = device->take_memory();
    text += std::to_string(device->ordinal());
    for (const int64_t bytes : {stats.in_use, stats.peak, stats.mapped, static_cast<int64_t>(device->properties().totalGlobalMem)}) {
      text += "\t" + std::to_string(bytes);
    }
    text += "\n";
  }
  return text;
}

std::string take_problems() {
  std::string text = take_unclaimed();
  for (Device* device : Device::all()) {
    const Device::Shortage shortage = device->take_shortage();
    if (shortage.wanted == 0) continue;
    text += "memory";
    for (const int64_t bytes : {shortage.wanted, shortage.in_use, shortage.free, shortage.total}) text += "\t" + std::to_string(bytes);
    text += "\n";
  }
  return text;
}

}  // namespace halo::cuda
