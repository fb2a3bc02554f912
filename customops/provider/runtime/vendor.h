// Numbers by which ONNX Runtime knows devices.
#pragma once

#include <cstdint>

namespace halo::cuda {

/// NVIDIA's PCI vendor.
inline constexpr uint32_t kNvidia = 0x10DE;

}  // namespace halo::cuda
