// Copies of whole tensors between host and devices.
#pragma once

#include <onnxruntime_c_api.h>

namespace halo::cuda {

class Transfer final : public OrtDataTransferImpl {
 public:
  Transfer();
};

}  // namespace halo::cuda
