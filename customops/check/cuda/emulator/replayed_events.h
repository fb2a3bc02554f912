// Events whose time is that of each replay, for the sources that record such: included in front of them.
#pragma once

#include "cuda_runtime_api.h"

inline constexpr unsigned cudaEventRecordExternal = 1;

inline cudaError_t cudaEventRecordWithFlags(cudaEvent_t event, cudaStream_t, unsigned) {
  return halo::emulator::carry_out([=] { event->time = std::chrono::steady_clock::now(); });
}
