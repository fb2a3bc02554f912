// What can be seen of NCCL with one GPU.
#pragma once

#include <string>

#include "provider/device.h"

namespace halo::cuda {

/// Runs every collective of a communicator of one rank, for people: "2.27.3, four collectives of one rank are right", or what is wrong.
std::string nccl_trial(Device& device);

}  // namespace halo::cuda
